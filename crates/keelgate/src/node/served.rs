//! What the proxy is told by the settings, and what a snapshot is compiled with.

use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::Context;
use keelgate_plugins::{Directory, Plugin, Registry};
use keelgate_proxy as proxy;
use keelgate_runtime::{Env, Plugins, Secrets};
use keelgate_settings::{
    DatabaseKind, DnsRecord, ErrorType, IoEngine, Listener, LogTarget, Role, RouterFlavor,
    Settings, TrustedPeer,
};
use keelgate_telemetry::{Destination, LineSink};
use rustls::RootCertStore;

use super::secrets::Vaults;
use super::tickets::{TicketKeys, Ticketer};
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

    fn each_reference(
        &self,
        plugin: &mut keelgate_entities::kinds::Plugin,
        act: &mut dyn FnMut(&str, &mut String),
    ) {
        self.0.each_reference(plugin, act);
    }

    fn is_needed(&self, name: &str) -> bool {
        self.0.is_needed(name)
    }
}

/// What every snapshot of this node is compiled with.
pub(crate) fn environment(
    settings: &Settings,
    registry: Arc<Registry>,
    trusted: Arc<RootCertStore>,
) -> anyhow::Result<Env> {
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
        trusted,
        // Kong's default, which its users' upstreams rely on; `tls_verify` of a service turns it on.
        verify_upstreams: false,
        client_certificate,
        // A control plane compiles only to know that others can; the secrets are theirs.
        secrets: (settings.node.role != Role::ControlPlane)
            .then(|| Arc::new(Vaults::new(settings)) as Arc<dyn Secrets>),
    })
}

/// The schemas of the plugins that the settings let the node load.
pub(crate) fn plugin_schemas(settings: &Settings) -> Vec<keelgate_entities::PluginSchema> {
    let schemas = match (settings.node.role, settings.database.database) {
        (Role::Traditional, DatabaseKind::Sqlite | DatabaseKind::Postgres) => {
            Registry::schemas_with_database()
        }
        _ => Registry::schemas(),
    };
    schemas
        .into_iter()
        .filter(|schema| {
            let is_bundled = Registry::is_bundled(schema.name);
            settings.node.loads_plugin(schema.name, is_bundled)
        })
        .collect()
}

/// Whether this build has the plugins that the settings name.
pub(crate) fn has_plugins(settings: &Settings) -> anyhow::Result<()> {
    let known = Registry::schemas();
    let is_known = |name: &str| {
        matches!(name, "bundled" | "off") || known.iter().any(|schema| schema.name == name)
    };
    let named = settings.node.plugins.iter();
    let missing: Vec<_> = named.filter(|name| !is_known(name)).cloned().collect();
    anyhow::ensure!(
        missing.is_empty(),
        "plugins: this build has no {}; take it out of the setting, or run a build that has it",
        missing.join(", no ")
    );
    Ok(())
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

/// What outlasts a change of the proxy's settings.
#[derive(Clone, Default)]
pub(crate) struct Lasting {
    pub(crate) counts: Arc<proxy::Counts>,
    pub(crate) stream_counts: Arc<proxy::StreamCounts>,
    /// Clients shall resume their sessions after a reload, too.
    tickets: Arc<Mutex<Tickets>>,
    /// What requests ask with where their time went, if it was made up.
    debug_token: Arc<OnceLock<String>>,
    /// How many lines each access log has lost, the open one and those before.
    lost: Arc<Mutex<Vec<Arc<AtomicU64>>>>,
}

impl Lasting {
    /// Counts what an access log loses.
    pub(crate) fn count_losses(&self, sink: &LineSink) {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        lost.push(sink.dropped_counter());
    }

    /// Lines that access logs have lost since the start.
    pub(crate) fn lines_lost(&self) -> u64 {
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        lost.iter().map(|lost| lost.load(Ordering::Relaxed)).sum()
    }

    /// Who may ask where the time of a request went. The token lies in a file for whoever may read
    /// the node's files.
    fn request_debug(&self, settings: &Settings) -> anyhow::Result<proxy::RequestDebug> {
        let token = match &settings.proxy.request_debug_token {
            Some(token) => token.expose().to_owned(),
            None => {
                let made_up = || uuid::Uuid::new_v4().to_string();
                self.debug_token.get_or_init(made_up).clone()
            }
        };
        let path = settings.node.prefix.join(".request_debug_token");
        write_private(&path, &token).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(proxy::RequestDebug { token })
    }

    /// Takes the keys of session tickets that the process before has handed over.
    pub(crate) fn inherit_tickets(&self, handed: TicketKeys) {
        self.tickets().handed = Some(handed);
    }

    /// The keys of session tickets, for the process after; none where no tickets are given out.
    pub(crate) fn ticket_keys(&self) -> Option<TicketKeys> {
        let tickets = self.tickets();
        tickets
            .current
            .as_ref()
            .map(|(_, ticketer)| ticketer.keys())
    }

    /// What encrypts session tickets: the same as before, unless their lifetime has changed.
    pub(crate) fn ticketer(&self, lifetime: Duration) -> anyhow::Result<Arc<Ticketer>> {
        let mut tickets = self.tickets();
        match &tickets.current {
            Some((known, ticketer)) if *known == lifetime => Ok(Arc::clone(ticketer)),
            _ => {
                let ticketer = Arc::new(match tickets.handed.take() {
                    Some(handed) => Ticketer::inherit(lifetime, &handed)?,
                    None => Ticketer::new(lifetime)?,
                });
                tickets.current = Some((lifetime, Arc::clone(&ticketer)));
                Ok(ticketer)
            }
        }
    }

    fn tickets(&self) -> MutexGuard<'_, Tickets> {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What encrypts session tickets.
#[derive(Default)]
struct Tickets {
    /// With the lifetime of tickets.
    current: Option<(Duration, Arc<Ticketer>)>,
    /// From the process before, until they are taken over.
    handed: Option<TicketKeys>,
}

/// Writes a file that only the node's user may read.
fn write_private(path: &Path, content: &str) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content.as_bytes())
}

/// The proxy's own settings.
pub(crate) async fn proxy_settings(
    settings: &Settings,
    lasting: &Lasting,
) -> anyhow::Result<proxy::Settings> {
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
        port_maps: port_maps(settings),
        workers: settings.node.nginx_worker_processes.on(cores),
        io_engine: match own.proxy_io_engine {
            IoEngine::Auto => proxy::IoEngine::Auto,
            IoEngine::Epoll => proxy::IoEngine::Epoll,
            IoEngine::IoUring => proxy::IoEngine::IoUring,
        },
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
        request_debug: match own.request_debug {
            true => Some(lasting.request_debug(settings)?),
            false => None,
        },
        error_default_type: ErrorType::as_str(own.error_default_type).to_owned(),
        error_templates: error_templates(own)?,
        client: proxy::ClientLimits {
            connections: own.nginx_events_worker_connections.0,
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
        tls: certificates::proxy(settings, lasting)?,
        access_log: access_log(settings, lasting)?,
        counts: Arc::clone(&lasting.counts),
        stream: streams::settings(settings, lasting).await?,
        ..defaults
    })
}

fn port_maps(settings: &Settings) -> Vec<proxy::PortMap> {
    let maps = settings.listen.port_maps.iter().map(|map| proxy::PortMap {
        outside: map.outside,
        inside: map.inside,
    });
    maps.collect()
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

/// Whether a change of this setting counts once the node has read its settings anew.
pub(crate) fn is_reloaded(key: &str) -> bool {
    const OTHERS: [&str; 21] = [
        "declarative_config",
        "declarative_config_string",
        "log_level",
        "nginx_http_log_format",
        "nginx_http_ssl_client_certificate",
        "nginx_http_ssl_verify_client",
        "nginx_worker_processes",
        "port_maps",
        "proxy_access_log",
        "proxy_listen",
        "proxy_stream_access_log",
        "ssl_cert",
        "ssl_cert_key",
        "ssl_cipher_suite",
        "ssl_ciphers",
        "ssl_prefer_server_ciphers",
        "ssl_protocols",
        "ssl_session_cache_size",
        "ssl_session_tickets",
        "ssl_session_timeout",
        "stream_listen",
    ];
    let is_proxys = |key: &keelgate_settings::Key| {
        matches!(key.section, "PROXY" | "DNS") && key.name != "router_flavor"
    };
    OTHERS.contains(&key)
        || keelgate_settings::registry().any(|known| known.name == key && is_proxys(known))
}

fn error_templates(own: &keelgate_settings::Proxy) -> anyhow::Result<proxy::ErrorTemplates> {
    let read = |key: &str, path: &Option<PathBuf>| match path {
        None => Ok(None),
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("{key}: cannot read {}", path.display()))?;
            let template = proxy::ErrorTemplate::parse(&text)
                .with_context(|| format!("{key}: {}", path.display()))?;
            anyhow::Ok(Some(template))
        }
    };
    Ok(proxy::ErrorTemplates {
        html: read("error_template_html", &own.error_template_html)?,
        json: read("error_template_json", &own.error_template_json)?,
        xml: read("error_template_xml", &own.error_template_xml)?,
        plain: read("error_template_plain", &own.error_template_plain)?,
    })
}

pub(crate) fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// Kong's access log, written off the request path.
struct AccessLines {
    sink: LineSink,
    /// None for Kong's form.
    format: Option<proxy::LogFormat>,
}

impl proxy::AccessLog for AccessLines {
    fn record(&self, record: &proxy::Record<'_>) {
        let line = match &self.format {
            Some(format) => format.line(record),
            None => record.to_string(),
        };
        self.sink.write(line.into_bytes());
    }

    fn reopen(&self) {
        self.sink.reopen();
    }
}

fn access_log(
    settings: &Settings,
    lasting: &Lasting,
) -> anyhow::Result<Option<Arc<dyn proxy::AccessLog>>> {
    let log = &settings.log.proxy_access_log;
    let Some(destination) = destination(&log.target) else {
        return Ok(None);
    };
    let format = match &log.format {
        Some(name) => Some(log_format(name, settings)?),
        None => None,
    };
    let sink = LineSink::open(destination).context("proxy_access_log")?;
    lasting.count_losses(&sink);
    Ok(Some(Arc::new(AccessLines { sink, format })))
}

fn log_format(name: &str, settings: &Settings) -> anyhow::Result<proxy::LogFormat> {
    if let Some(own) = &settings.log.nginx_http_log_format
        && own.name == name
    {
        let escape = match own.escape.as_str() {
            "json" => proxy::Escape::Json,
            "none" => proxy::Escape::None,
            _ => proxy::Escape::Default,
        };
        return proxy::LogFormat::parse(&own.text, escape).context("nginx_http_log_format");
    }
    proxy::LogFormat::known(name).with_context(|| {
        format!(
            "proxy_access_log: no format is called {name}; write json, combined, or the name that \
             nginx_http_log_format defines"
        )
    })
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
