//! Hand-built exchanges and plugins for the tests of this crate.

pub(crate) mod records;

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, UNIX_EPOCH};

use crate::HeaderMap;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode, Version};
use keelgate_entities::kinds::{
    self, Acl, BasicAuthCredential, Consumer, KeyAuthCredential, Protocol,
};
use keelgate_entities::{Object, Reference};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use serde_json::Value;
use uuid::Uuid;

use crate::directory::salted_sha1;
use crate::exchange::{Client, MadeBy, Outcome, ResponseHead, Times, TlsSession, Try, Upstream};
use crate::stream::{Ended, Traffic};
use crate::{Access, Directory, Exchange, Flow, Plugin, Registry, Response};

pub(crate) const ALICE: Uuid = Uuid::from_u128(0xa11ce);
pub(crate) const BOB: Uuid = Uuid::from_u128(0xb0b);
pub(crate) const KEY: Uuid = Uuid::from_u128(0x4e1);

/// 2024-02-29T12:34:56Z.
pub(crate) const NOW: u64 = 1_709_210_096;

/// A request for a path, with a query if there is a question mark, and the response of an upstream.
pub(crate) fn exchange<'r>(method: &str, target: &str) -> Exchange<'r> {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (target, None),
    };
    let peer = SocketAddr::from(([192, 0, 2, 7], 40_000));
    Exchange {
        request_id: "0123456789abcdef0123456789abcdef".to_owned(),
        client: Client {
            peer,
            ip: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
            local: SocketAddr::from(([127, 0, 0, 1], 8000)),
            sni: None,
            tls: false,
            session: None,
            certificate: None,
        },
        method: Method::from_bytes(method.as_bytes()).unwrap(),
        version: Version::HTTP_11,
        protocol: Protocol::Http,
        host: "example.test".to_owned(),
        port: 8000,
        raw_path: path.to_owned(),
        query,
        headers: headers(&[("host", "example.test")]),
        request_body: None,
        upstream: Upstream {
            protocol: Protocol::Http,
            host: "upstream.test".to_owned(),
            port: 80,
            path: path.to_owned(),
            host_header: None,
        },
        route: None,
        service: None,
        written: crate::Places::default(),
        captures: Vec::new(),
        consumer: None,
        credential: None,
        response: ResponseHead {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            made_by: MadeBy::Upstream,
        },
        trailers: None,
        shared: Vec::new(),
        kept: Vec::new(),
        times: Times {
            received_at: UNIX_EPOCH + Duration::from_secs(NOW),
            started: Instant::now(),
            upstream: None,
        },
        outcome: Outcome::default(),
    }
}

/// A session over TLS that was proxied.
pub(crate) fn ended() -> Ended<'static> {
    static CLIENT: OnceLock<Client> = OnceLock::new();
    static TRIES: OnceLock<[Try; 1]> = OnceLock::new();
    let now = UNIX_EPOCH + Duration::from_secs(NOW);
    Ended {
        client: CLIENT.get_or_init(|| Client {
            peer: ([192, 0, 2, 7], 40_000).into(),
            ip: [192, 0, 2, 7].into(),
            local: ([127, 0, 0, 1], 9000).into(),
            sni: Some("a.test".to_owned()),
            tls: true,
            session: Some(TlsSession {
                version: "TLSv1.3",
                cipher: "TLS_AES_128_GCM_SHA256",
            }),
            certificate: None,
        }),
        route: leaked::<kinds::Route>(serde_json::json!({
            "id": "00000000-0000-4000-8000-000000000002", "name": "r", "protocols": ["tls"],
        })),
        service: Some(leaked::<kinds::Service>(serde_json::json!({
            "id": "00000000-0000-4000-8000-000000000001", "name": "s", "protocol": "tcp",
            "host": "h.test", "port": 80,
        }))),
        status: 200,
        with_client: Traffic {
            received: 5,
            sent: 7,
        },
        with_upstream: Traffic {
            received: 8,
            sent: 6,
        },
        tries: TRIES.get_or_init(|| {
            [Try {
                address: ([192, 0, 2, 1], 80).into(),
                at: now,
                chosen_in: Duration::ZERO,
                failed: None,
            }]
        }),
        began_at: now,
        before_upstream: Some(Duration::from_millis(2)),
        took: Duration::from_millis(1500),
    }
}

/// The exchange with these request headers, too; a name may occur several times.
pub(crate) fn with_headers<'r>(mut exchange: Exchange<'r>, added: &[(&str, &str)]) -> Exchange<'r> {
    for (name, value) in headers(added).iter() {
        exchange.headers.append(name, value.clone());
    }
    exchange
}

/// The exchange with a body of this type.
pub(crate) fn with_body<'r>(exchange: Exchange<'r>, kind: &str, body: &str) -> Exchange<'r> {
    let mut exchange = with_headers(exchange, &[("content-type", kind)]);
    exchange.request_body = Some(Bytes::copy_from_slice(body.as_bytes()));
    exchange
}

pub(crate) fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let name: HeaderName = name.parse().unwrap();
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

/// All values of a header.
pub(crate) fn values<'h>(headers: &'h HeaderMap, name: &str) -> Vec<&'h str> {
    let values = headers.get_all(name).iter();
    values.map(|value| value.to_str().unwrap()).collect()
}

pub(crate) fn registry() -> Registry {
    Registry::new(Uuid::from_u128(1), "node.test")
}

/// A plugin configuration; `config` may leave defaults out.
pub(crate) fn plugin(name: &str, config: Object) -> kinds::Plugin {
    kinds::Plugin {
        id: Uuid::from_u128(7),
        name: name.to_owned(),
        instance_name: None,
        enabled: true,
        route: None,
        service: None,
        consumer: None,
        protocols: vec![Protocol::Http],
        config,
        tags: None,
    }
}

fn object(config: Value) -> Object {
    match config {
        Value::Object(config) => config,
        other => panic!("settings are an object, not {other}"),
    }
}

/// A compiled plugin. It is leaked, so that exchanges of any life may borrow from it.
pub(crate) fn compiled(name: &str, config: Value) -> &'static dyn Plugin {
    compiled_for(directory(), name, config)
}

/// A compiled plugin for these callers.
pub(crate) fn compiled_for(directory: Directory, name: &str, config: Value) -> &'static dyn Plugin {
    let plugin = plugin(name, object(config));
    let plugin = registry().compile(&plugin, &Arc::new(directory)).unwrap();
    &**Box::leak(Box::new(plugin))
}

/// A compiled plugin of a node with these records.
pub(crate) fn compiled_with(
    records: &Arc<records::InMemory>,
    directory: Directory,
    name: &str,
    config: Value,
) -> &'static dyn Plugin {
    let plugin = plugin(name, object(config));
    let registry = registry();
    registry.keep_records(Arc::clone(records) as Arc<dyn crate::Records>);
    let plugin = registry.compile(&plugin, &Arc::new(directory)).unwrap();
    &**Box::leak(Box::new(plugin))
}

/// A compiled plugin of a node that believes in one certificate.
pub(crate) fn compiled_trusting(
    certificate: &CertificateDer<'static>,
    name: &str,
    config: Value,
) -> &'static dyn Plugin {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let plugin = plugin(name, object(config));
    let registry = registry().trusting(Arc::new(roots));
    let plugin = registry.compile(&plugin, &Arc::new(directory())).unwrap();
    &**Box::leak(Box::new(plugin))
}

/// One request to a server of a test: its head, and its body. It is answered with this status.
pub(crate) fn receive(connection: &mut TcpStream, status: u16) -> (String, Vec<u8>) {
    let mut read = Vec::new();
    let mut byte = [0];
    while !read.ends_with(b"\r\n\r\n") {
        connection.read_exact(&mut byte).unwrap();
        read.push(byte[0]);
    }
    let head = String::from_utf8(read).unwrap();
    let lower = head.to_ascii_lowercase();
    let (_, length) = lower.split_once("content-length: ").unwrap();
    let length = length.split("\r\n").next().unwrap().parse().unwrap();
    let mut body = vec![0; length];
    connection.read_exact(&mut body).unwrap();
    let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n");
    connection.write_all(answer.as_bytes()).unwrap();
    (head, body)
}

/// An entity that lives as long as the tests.
pub(crate) fn leaked<T: serde::de::DeserializeOwned>(entity: Value) -> &'static T {
    Box::leak(Box::new(serde_json::from_value(entity).unwrap()))
}

/// Why a configuration does not compile.
pub(crate) fn refused(name: &str, config: Value) -> String {
    let plugin = plugin(name, object(config));
    let compiled = registry().compile(&plugin, &Arc::new(directory()));
    compiled.err().unwrap().to_string()
}

/// The configuration as the Admin API completes it, or its error body.
pub(crate) fn validated(name: &str, config: Value) -> Result<Value, Value> {
    let schemas = keelgate_entities::Schemas::new(Registry::schemas());
    let plugin = object(serde_json::json!({ "name": name, "config": config }));
    let now = UNIX_EPOCH + Duration::from_secs(NOW);
    match schemas.insert("plugins", plugin, now) {
        Ok(mut plugin) => Ok(plugin.remove("config").unwrap()),
        Err(error) => Err(serde_json::to_value(error).unwrap()),
    }
}

/// Alice with the key `ka`, the password `pw:x` and the groups `admin` and `users`; bob with
/// nothing.
pub(crate) fn directory() -> Directory {
    let consumer = |id, username: &str, custom_id: Option<&str>| Consumer {
        id,
        username: Some(username.to_owned()),
        custom_id: custom_id.map(str::to_owned),
        tags: None,
        created_at: None,
        updated_at: None,
    };
    let consumers = vec![
        consumer(ALICE, "alice", Some("alice-cid")),
        consumer(BOB, "bob", None),
    ];
    let key = |id, owner, key: &str| KeyAuthCredential {
        id,
        consumer: Reference(owner),
        key: key.to_owned(),
        tags: None,
    };
    let nobody = Uuid::from_u128(0xdead);
    let password = BasicAuthCredential {
        id: KEY,
        consumer: Reference(ALICE),
        username: "alice".to_owned(),
        password: salted_sha1(b"pw:x", ALICE),
        tags: None,
    };
    let member = |group: &str| Acl {
        id: KEY,
        consumer: Reference(ALICE),
        group: group.to_owned(),
        tags: None,
    };
    let keys = vec![key(KEY, ALICE, "ka"), key(nobody, nobody, "kn")];
    Directory::new(consumers, keys)
        .with_basic_auth(vec![password])
        .with_groups(vec![member("admin"), member("users")])
}

/// Runs `access`, and waits for it; the response if the plugin ends the request.
pub(crate) async fn access_waiting<'r>(
    plugin: &'r dyn Plugin,
    exchange: &mut Exchange<'r>,
) -> Option<Response> {
    let flow = match plugin.access(exchange) {
        Access::Ready(flow) => flow,
        Access::Pending(wait) => wait.await,
    };
    match flow {
        Flow::Continue => None,
        Flow::Respond(response) => Some(*response),
    }
}

/// Runs `access` of a plugin that waits, on a thread of its own kind; the response.
pub(crate) fn waited<'r>(plugin: &'r dyn Plugin, exchange: &mut Exchange<'r>) -> Response {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let flow = match plugin.access(exchange) {
        Access::Ready(flow) => flow,
        Access::Pending(wait) => runtime.block_on(wait),
    };
    match flow {
        Flow::Respond(response) => *response,
        Flow::Continue => panic!("the plugin answers nothing"),
    }
}

/// A request as a server of a test got it.
pub(crate) struct Received {
    /// `POST /a?b HTTP/1.1`.
    pub(crate) line: String,
    /// With lower-case names.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }

    fn read(connection: &mut TcpStream) -> Self {
        let mut read = Vec::new();
        let mut byte = [0];
        while !read.ends_with(b"\r\n\r\n") {
            connection.read_exact(&mut byte).unwrap();
            read.push(byte[0]);
        }
        let head = String::from_utf8(read).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let line = lines.next().unwrap().to_owned();
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(':').unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length = length.map_or(0, |(_, length)| length.parse().unwrap());
        let mut body = vec![0; length];
        connection.read_exact(&mut body).unwrap();
        Self {
            line,
            headers,
            body,
        }
    }
}

/// A server that answers one request after another with these heads (after the status line's
/// version) and bodies, and tells of them.
pub(crate) fn server(
    answers: Vec<(&'static str, String)>,
) -> (SocketAddr, std::sync::mpsc::Receiver<Received>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for (head, body) in answers {
            let (mut connection, _) = listener.accept().unwrap();
            let received = Received::read(&mut connection);
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {head}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
            connection.write_all(answer.as_bytes()).unwrap();
            // Nobody may wait for it.
            let _ = tell.send(received);
        }
    });
    (address, told)
}

/// Runs `access`; the response if the plugin ends the request.
pub(crate) fn access<'r>(plugin: &'r dyn Plugin, exchange: &mut Exchange<'r>) -> Option<Response> {
    match plugin.access(exchange) {
        Access::Ready(Flow::Continue) => None,
        Access::Ready(Flow::Respond(response)) => Some(*response),
        Access::Pending(_) => panic!("the plugin waits"),
    }
}
