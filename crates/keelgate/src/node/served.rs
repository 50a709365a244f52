//! What the proxy is told by the settings, and what a snapshot is compiled with.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use keelgate_plugins::{Directory, Plugin, Registry};
use keelgate_proxy as proxy;
use keelgate_runtime::{Env, Plugins};
use keelgate_settings::{
    DnsRecord, ErrorType, Listener, LogTarget, RouterFlavor, Settings, TrustedPeer,
};
use keelgate_telemetry::{Destination, LineSink};

use super::{certificates, streams};

/// The node's plugins, as the runtime asks for them.
struct Known(Arc<Registry>);

impl Plugins for Known {
    fn compile(
        &self,
        plugin: &keelgate_entities::kinds::Plugin,
        directory: &Arc<Directory>,
    ) -> Result<Arc<dyn Plugin>, String> {
        self.0
            .compile(plugin, directory)
            .map_err(|error| error.to_string())
    }

    fn priority(&self, name: &str) -> Option<i32> {
        self.0.priority(name)
    }
}

/// What every snapshot of this node is compiled with.
pub(crate) fn environment(settings: &Settings, registry: Arc<Registry>) -> anyhow::Result<Env> {
    let tls = &settings.tls;
    let default_certificate = certificates::listener(
        &settings.node.prefix,
        "proxy",
        &tls.ssl_cert,
        &tls.ssl_cert_key,
    )?;
    let client_certificate = match (&tls.client_ssl_cert, &tls.client_ssl_cert_key) {
        (Some(cert), Some(key)) if tls.client_ssl => Some(
            certificates::certified(cert.pem.as_bytes(), key.pem.expose().as_bytes())
                .context("client_ssl_cert")?,
        ),
        _ => None,
    };
    Ok(Env {
        plugins: Arc::new(Known(registry)),
        flavor: router_flavor(settings),
        default_certificate,
        trusted: certificates::trusted(settings)?,
        // Kong's default, which its users' upstreams rely on; `tls_verify` of a service turns it on.
        verify_upstreams: false,
        client_certificate,
    })
}

/// The schemas of the plugins that the settings let the node load.
pub(crate) fn plugin_schemas(settings: &Settings) -> Vec<keelgate_entities::PluginSchema> {
    Registry::schemas()
        .into_iter()
        .filter(|schema| settings.node.loads_plugin(schema.name, true))
        .collect()
}

/// The language of routes.
pub(crate) fn router_flavor(settings: &Settings) -> keelgate_entities::RouterFlavor {
    match settings.proxy.router_flavor {
        RouterFlavor::Traditional => keelgate_entities::RouterFlavor::Traditional,
        RouterFlavor::TraditionalCompatible => {
            keelgate_entities::RouterFlavor::TraditionalCompatible
        }
        RouterFlavor::Expressions => keelgate_entities::RouterFlavor::Expressions,
    }
}

/// The proxy's own settings.
pub(crate) async fn proxy_settings(settings: &Settings) -> anyhow::Result<proxy::Settings> {
    let own = &settings.proxy;
    let added = own.response_headers();
    let mut listen = Vec::new();
    for listener in &settings.listen.proxy_listen {
        let address = address("proxy_listen", listener).await?;
        listen.push(proxy::Listen {
            tls: listener.ssl,
            http2: listener.http2,
            proxy_protocol: listener.proxy_protocol,
            backlog: listener.backlog.unwrap_or(511),
            ..proxy::Listen::http(address)
        });
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let defaults = proxy::Settings::default();
    let resolution = settings.dns.resolution();
    Ok(proxy::Settings {
        listen,
        workers: settings.node.nginx_worker_processes.on(cores),
        trusted_ips: own
            .trusted_ips
            .iter()
            .filter_map(|peer| match peer {
                TrustedPeer::Net(net) => Some(*net),
                TrustedPeer::Unix => None,
            })
            .collect(),
        real_ip: match own.real_ip_header.as_str() {
            "proxy_protocol" => proxy::RealIp::ProxyProtocol,
            name => proxy::RealIp::Header(
                name.parse()
                    .context("real_ip_header is not a header's name")?,
            ),
        },
        real_ip_recursive: own.real_ip_recursive.0,
        headers: proxy::AddedHeaders {
            server: added.server,
            via: added.via,
            proxy_latency: added.proxy_latency,
            upstream_latency: added.upstream_latency,
            response_latency: added.response_latency,
            upstream_status: added.upstream_status,
            request_id: added.request_id,
            request_id_upstream: own.upstream_request_id(),
        },
        allow_debug_header: own.allow_debug_header,
        error_default_type: ErrorType::as_str(own.error_default_type).to_owned(),
        client: proxy::ClientLimits {
            header_line: size(own.nginx_http_large_client_header_buffers.size),
            header_total: size(own.nginx_http_large_client_header_buffers.total()),
            body: Some(own.nginx_http_client_max_body_size.0).filter(|limit| *limit > 0),
            header_timeout: own.nginx_http_client_header_timeout.0,
            body_timeout: own.nginx_http_client_body_timeout.0,
            send_timeout: own.nginx_http_send_timeout.0,
            keepalive_timeout: own.nginx_http_keepalive_timeout.0,
            keepalive_requests: own.nginx_http_keepalive_requests,
            ..defaults.client
        },
        keepalive: proxy::Keepalive {
            pool_size: own.upstream_keepalive_pool_size as usize,
            max_requests: own.upstream_keepalive_max_requests,
            idle_timeout: own.upstream_keepalive_idle_timeout.0,
        },
        dns: proxy::Dns {
            servers: resolution.servers.iter().map(|server| server.0).collect(),
            valid_ttl: resolution.valid_ttl.map(|ttl| ttl.0),
            hosts_file: resolution.hosts_file.to_owned(),
            order: dns_order(resolution.order),
            last_first: resolution.order.contains(&DnsRecord::Last),
            stale_ttl: resolution.stale_ttl.0,
            not_found_ttl: resolution.not_found_ttl.0,
            error_ttl: resolution.error_ttl.0,
            cache_size: resolution.cache_size as usize,
        },
        access_log: access_log(settings)?,
        stream: streams::settings(settings).await?,
        ..defaults
    })
}

/// Other names are followed whatever the order says.
fn dns_order(order: &[DnsRecord]) -> Vec<proxy::DnsRecord> {
    let kinds = order.iter().filter_map(|kind| match kind {
        DnsRecord::Srv => Some(proxy::DnsRecord::Srv),
        DnsRecord::A => Some(proxy::DnsRecord::A),
        DnsRecord::Aaaa => Some(proxy::DnsRecord::Aaaa),
        DnsRecord::Last | DnsRecord::Cname => None,
    });
    kinds.collect()
}

/// Where a listener is.
pub(crate) async fn address(key: &str, listener: &Listener) -> anyhow::Result<SocketAddr> {
    let mut addresses = tokio::net::lookup_host((listener.host.as_str(), listener.port))
        .await
        .with_context(|| format!("{key}: cannot resolve {listener}"))?;
    addresses
        .next()
        .with_context(|| format!("{key}: {listener} has no address"))
}

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// Kong's access log, written off the request path.
struct AccessLines(LineSink);

impl proxy::AccessLog for AccessLines {
    fn record(&self, record: &proxy::Record<'_>) {
        self.0.write(record.to_string().into_bytes());
    }
}

fn access_log(settings: &Settings) -> anyhow::Result<Option<Arc<dyn proxy::AccessLog>>> {
    let Some(destination) = destination(&settings.log.proxy_access_log) else {
        return Ok(None);
    };
    let sink = LineSink::open(destination).context("proxy_access_log")?;
    Ok(Some(Arc::new(AccessLines(sink))))
}

/// Where lines go; none when they are not wanted.
pub(crate) fn destination(target: &LogTarget) -> Option<Destination> {
    match target {
        LogTarget::Off => None,
        LogTarget::Stdout => Some(Destination::Stdout),
        LogTarget::Stderr => Some(Destination::Stderr),
        LogTarget::File(path) => Some(Destination::File(path.clone())),
    }
}
