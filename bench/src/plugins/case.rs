//! Plugins with work to do in every request.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;
use serde_json::{Value, json};

use super::credentials::{APPLICATION_TOKEN, Credentials, Header, WEBHOOK_SECRET};
use super::grpc;
use super::receivers::Receivers;
use crate::request::Request;

/// A route, and what is sent to it.
pub(super) struct Case {
    pub(super) name: &'static str,
    /// The first segment of its path. All have the same length.
    pub(super) path: String,
    /// In declarative form.
    pub(super) plugins: Vec<Value>,
    pub(super) requests: Arc<[Request]>,
    /// The case that it is compared with; none where it is only there to be compared with.
    pub(super) base: Option<&'static str>,
    /// Whether others are compared with it.
    pub(super) is_base: bool,
    logs_in: bool,
    /// Whether what answers is a service of gRPC.
    pub(super) calls: bool,
}

const PLAIN: &str = "none";
const KEY: &str = "key-auth";

impl Case {
    /// What an answer of 1 KiB is asked for with.
    pub(super) fn target(&self) -> String {
        format!("/{}/1024", self.path)
    }

    /// Logs in where the case is about who has, and sends the cookie from then on.
    pub(super) fn log_in(&mut self, address: SocketAddr) -> anyhow::Result<()> {
        if self.logs_in {
            let mut stream = TcpStream::connect(address)?;
            stream.write_all(&self.requests[0].wire)?;
            let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
            let cookie = loop {
                let read = stream.read(&mut piece)?;
                anyhow::ensure!(
                    read > 0,
                    "no cookie in {}",
                    String::from_utf8_lossy(&answer)
                );
                answer.extend_from_slice(&piece[..read]);
                let text = String::from_utf8_lossy(&answer);
                let cookie = text.split_once("session=");
                if let Some((cookie, _)) = cookie.and_then(|(_, rest)| rest.split_once(';')) {
                    break format!("session={cookie}");
                }
            };
            self.requests = [Request::get(&self.target(), &[("cookie", &cookie)])?].into();
        }
        Ok(())
    }
}

/// Makes cases, each with a path of its own.
struct Cases<'a> {
    all: Vec<Case>,
    credentials: &'a Credentials,
}

impl Cases<'_> {
    fn add(
        &mut self,
        name: &'static str,
        base: Option<&'static str>,
        plugins: Vec<Value>,
        requests: impl FnOnce(&str) -> anyhow::Result<Vec<Request>>,
    ) -> anyhow::Result<&mut Case> {
        let path = format!("route-{:02}", self.all.len());
        let requests = requests(&format!("/{path}/1024"))?;
        self.all.push(Case {
            name,
            path,
            plugins,
            requests: requests.into(),
            base,
            is_base: false,
            logs_in: false,
            calls: false,
        });
        self.all.last_mut().context("there is one")
    }

    /// A plugin that looks at requests without a body or a credential.
    fn alone(&mut self, name: &'static str, config: Value) -> anyhow::Result<()> {
        self.described(name, name, config)
    }

    /// The same under another name.
    fn described(&mut self, name: &'static str, plugin: &str, config: Value) -> anyhow::Result<()> {
        let plugins = vec![json!({"name": plugin, "config": config})];
        let requests = |target: &str| Ok(vec![Request::get(target, &[("x-one", "1")])?]);
        self.add(name, Some(PLAIN), plugins, requests)?;
        Ok(())
    }

    /// A plugin behind `key-auth`.
    fn known(&mut self, name: &'static str, plugin: &str, config: Value) -> anyhow::Result<()> {
        let plugins = vec![
            json!({"name": "key-auth"}),
            json!({"name": plugin, "config": config}),
        ];
        let headers = self.credentials.key(self.credentials.callers(false)[0]);
        let requests = |target: &str| Ok(vec![Request::get(target, &borrowed(&headers))?]);
        self.add(name, Some(KEY), plugins, requests)?;
        Ok(())
    }

    /// A plugin that knows callers: one of them, and many.
    fn callers(
        &mut self,
        names: [&'static str; 2],
        plugin: &Value,
        prove: impl Fn(usize, &str) -> Vec<Header>,
    ) -> anyhow::Result<()> {
        for (name, many) in names.into_iter().zip([false, true]) {
            let callers = self.credentials.callers(many);
            self.add(name, Some(PLAIN), vec![plugin.clone()], |target| {
                callers
                    .iter()
                    .map(|caller| Request::get(target, &borrowed(&prove(*caller, target))))
                    .collect()
            })?;
        }
        Ok(())
    }
}

fn borrowed(headers: &[Header]) -> Vec<(&str, &str)> {
    let pairs = headers.iter().map(|(name, value)| (*name, value.as_str()));
    pairs.collect()
}

/// Everything that is measured, what the others are compared with first.
pub(super) fn all(receivers: &Receivers, credentials: &Credentials) -> anyhow::Result<Vec<Case>> {
    let mut cases = Cases {
        all: Vec::new(),
        credentials,
    };
    let get = |target: &str| Ok(vec![Request::get(target, &[("x-one", "1")])?]);
    cases.add(PLAIN, None, Vec::new(), get)?.is_base = true;
    authentication(&mut cases, receivers)?;
    traffic(&mut cases)?;
    transformation(&mut cases)?;
    functions(&mut cases, receivers)?;
    calls(&mut cases, receivers)?;
    telling(&mut cases, receivers)?;
    Ok(cases.all)
}

fn authentication(cases: &mut Cases<'_>, receivers: &Receivers) -> anyhow::Result<()> {
    let credentials = cases.credentials;
    let plugin = json!({"name": "key-auth"});
    cases.callers([KEY, "key-auth, of all consumers"], &plugin, |caller, _| {
        credentials.key(caller)
    })?;
    for case in cases.all.iter_mut().filter(|case| case.name == KEY) {
        case.is_base = true;
    }
    cases.callers(
        ["basic-auth", "basic-auth, of all consumers"],
        &json!({"name": "basic-auth"}),
        |caller, _| credentials.basic(caller),
    )?;
    cases.callers(
        ["jwt (HS256)", "jwt (HS256), of all consumers"],
        &json!({"name": "jwt", "config": {"claims_to_verify": ["exp"]}}),
        |caller, _| credentials.token(caller),
    )?;
    let config = json!({"enforce_headers": ["date", "@request-target"], "clock_skew": 86_400});
    cases.callers(
        [
            "hmac-auth (SHA-256)",
            "hmac-auth (SHA-256), of all consumers",
        ],
        &json!({"name": "hmac-auth", "config": config}),
        |caller, target| credentials.signature(caller, target),
    )?;
    // What the server says is kept for a minute.
    let ldap = json!({
        "ldap_host": receivers.ldap.ip(), "ldap_port": receivers.ldap.port(),
        "base_dn": "dc=example,dc=com", "attribute": "uid", "header_type": "basic",
    });
    let login = credentials.basic(credentials.callers(false)[0]);
    cases.add(
        "ldap-auth, a verdict at hand",
        Some(PLAIN),
        vec![json!({"name": "ldap-auth", "config": ldap})],
        |target| Ok(vec![Request::get(target, &borrowed(&login))?]),
    )?;
    let config = json!({"enable_client_credentials": true, "global_credentials": true});
    let bearer = format!("Bearer {APPLICATION_TOKEN}");
    cases.add(
        "oauth2, a token",
        Some(PLAIN),
        vec![json!({"name": "oauth2", "config": config})],
        |target| Ok(vec![Request::get(target, &[("authorization", &bearer)])?]),
    )?;
    // Nobody else may come without a key, so that the cookie is what lets requests through.
    let anonymous = credentials.anonymous();
    let key = credentials.key(credentials.callers(false)[0]);
    let session = json!({"secret": "a secret of thirty-two characters", "cookie_secure": false});
    let plugins = vec![
        json!({"name": "key-auth", "config": {"anonymous": anonymous}}),
        json!({"name": "session", "config": session}),
    ];
    let requests = |target: &str| Ok(vec![Request::get(target, &borrowed(&key))?]);
    cases
        .add("session, a cookie", Some(PLAIN), plugins, requests)?
        .logs_in = true;
    let body = "x".repeat(64);
    let proof = credentials.webhook(&body);
    let post = |target: &str| {
        let body = Bytes::from(body.clone());
        let headers = borrowed(&proof);
        Ok(vec![Request::post_with(target, &headers, body)?])
    };
    cases
        .add("none, a body of 64 B", None, Vec::new(), post)?
        .is_base = true;
    let config = json!({"secret_v1": WEBHOOK_SECRET});
    let plugins = vec![json!({"name": "standard-webhooks", "config": config})];
    cases.add(
        "standard-webhooks",
        Some("none, a body of 64 B"),
        plugins,
        post,
    )?;
    cases.known("key-auth, acl", "acl", json!({"allow": ["all"]}))
}

fn traffic(cases: &mut Cases<'_>) -> anyhow::Result<()> {
    let counted = json!({"minute": 100_000_000, "policy": "local"});
    cases.alone("rate-limiting", counted.clone())?;
    cases.known("key-auth, rate-limiting", "rate-limiting", counted)?;
    let limits = json!({"video": {"minute": 100_000_000}});
    cases.alone(
        "response-ratelimiting",
        json!({"limits": limits, "policy": "local"}),
    )?;
    cases.alone("request-size-limiting", json!({"allowed_payload_size": 8}))?;
    let body = "x".repeat(1024);
    cases.alone(
        "request-termination",
        json!({"status_code": 200, "content_type": "text/plain", "body": body}),
    )?;
    cases.alone(
        "redirect",
        json!({"status_code": 302, "location": "https://example.com"}),
    )?;
    cases.described(
        "proxy-cache, a hit",
        "proxy-cache",
        json!({"strategy": "memory", "content_type": ["text/plain"], "cache_ttl": 3600}),
    )?;
    cases.alone("ip-restriction", json!({"allow": ["127.0.0.0/8"]}))?;
    cases.alone("bot-detection", json!({"deny": ["^evil"]}))?;
    cases.alone("cors", json!({"origins": ["https://example.com"]}))
}

fn transformation(cases: &mut Cases<'_>) -> anyhow::Result<()> {
    cases.alone(
        "correlation-id",
        json!({"header_name": "X-Correlation", "generator": "uuid", "echo_downstream": true}),
    )?;
    cases.alone(
        "request-transformer",
        json!({
            "add": {"headers": ["x-added:1", "x-copied:$(headers['x-one'])"]},
            "remove": {"headers": ["x-one"]},
        }),
    )?;
    cases.alone(
        "response-transformer",
        json!({"add": {"headers": ["x-added:1"]}, "remove": {"headers": ["x-unknown"]}}),
    )
}

/// In place of the upstream, a function answers: the same upstream, which is asked by another client.
fn functions(cases: &mut Cases<'_>, receivers: &Receivers) -> anyhow::Result<()> {
    let address = receivers.upstream;
    cases.alone(
        "aws-lambda",
        json!({
            "aws_key": "AKIDEXAMPLE", "aws_secret": "a secret", "aws_region": "eu-central-1",
            "function_name": "1024", "host": address.ip(), "port": address.port(),
            "disable_https": true,
        }),
    )?;
    // The two make an address of this machine.
    cases.alone(
        "azure-functions",
        json!({
            "appname": "127.0.0", "hostdomain": format!("1:{}", address.port()), "https": false,
            "functionname": "1024",
        }),
    )
}

/// Calls of gRPC, as they are and from clients that cannot make them.
fn calls(cases: &mut Cases<'_>, receivers: &Receivers) -> anyhow::Result<()> {
    const CALLED: &str = "none, a call of gRPC";
    let text = "x".repeat(64);
    let framed = grpc::framed(&text);
    let json = Bytes::from(json!({ "text": text }).to_string());
    let proto = json!({"proto": receivers.proto});
    let plugin = |name: &str, config: &Value| vec![json!({"name": name, "config": config})];
    let below = |target: &str, path: &str| target.replace("/1024", path);
    let call = |kind: &'static str, path: &'static str, body: &Bytes| {
        let body = body.clone();
        move |target: &str| {
            let headers = [("content-type", kind)];
            Ok(vec![Request::post_with(
                &below(target, path),
                &headers,
                body,
            )?])
        }
    };
    let case = cases.add(
        CALLED,
        None,
        Vec::new(),
        call("application/grpc", grpc::CALL, &framed),
    )?;
    (case.is_base, case.calls) = (true, true);
    // Whoever reads messages does so at the paths of the service.
    let stripped = json!({"proto": receivers.proto, "pass_stripped_path": true});
    for (name, plugins, kind, path, body) in [
        (
            "grpc-web",
            plugin("grpc-web", &json!({})),
            "application/grpc-web",
            grpc::CALL,
            &framed,
        ),
        (
            "grpc-web, JSON",
            plugin("grpc-web", &stripped),
            "application/json",
            grpc::CALL,
            &json,
        ),
        (
            "grpc-gateway",
            plugin("grpc-gateway", &proto),
            "application/json",
            grpc::BINDING,
            &json,
        ),
    ] {
        cases
            .add(name, Some(CALLED), plugins, call(kind, path, body))?
            .calls = true;
    }
    Ok(())
}

fn telling(cases: &mut Cases<'_>, receivers: &Receivers) -> anyhow::Result<()> {
    let post = format!("http://{}/post", receivers.upstream);
    let udp = receivers.udp()?;
    let queue = json!({"max_batch_size": 1000, "max_coalescing_delay": 0.02});
    cases.alone("file-log", json!({"path": receivers.file}))?;
    // Where the machine has no such log, what is sent to it is thrown away.
    cases.alone("syslog", json!({}))?;
    cases.alone("http-log", json!({"http_endpoint": post, "queue": queue}))?;
    let tcp = receivers.tcp;
    cases.alone("tcp-log", json!({"host": tcp.ip(), "port": tcp.port()}))?;
    cases.alone("udp-log", json!({"host": "127.0.0.1", "port": udp}))?;
    cases.alone(
        "loggly",
        json!({"host": "127.0.0.1", "port": udp, "key": "a key"}),
    )?;
    cases.alone(
        "statsd",
        json!({"host": "127.0.0.1", "port": udp, "udp_packet_size": 1400, "queue": queue}),
    )?;
    cases.alone(
        "datadog",
        json!({"host": "127.0.0.1", "port": udp, "queue": queue}),
    )?;
    cases.alone(
        "prometheus",
        json!({
            "status_code_metrics": true, "latency_metrics": true, "bandwidth_metrics": true,
            "per_consumer": true,
        }),
    )?;
    let otel = |share| json!({"traces_endpoint": post, "sampling_rate": share, "queue": queue});
    cases.described("opentelemetry, 1 % recorded", "opentelemetry", otel(0.01))?;
    cases.described("opentelemetry, all recorded", "opentelemetry", otel(1.0))?;
    let zipkin = |share| json!({"http_endpoint": post, "sample_ratio": share, "queue": queue});
    cases.described("zipkin, 0.1 % recorded", "zipkin", zipkin(0.001))?;
    cases.described("zipkin, all recorded", "zipkin", zipkin(1.0))
}
