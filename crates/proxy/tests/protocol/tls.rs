//! TLS on both sides.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use keelgate_plugins::{Access, Exchange, Flow, Phases, Plugin};
use keelgate_proxy::{Listen, Resumption, Tls};
use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned,
    SupportedProtocolVersion,
};
use serde_json::{Value, json};

use crate::support::{Client, Gateway, SERVICE, config, echo, tcp, with_service};

pub(crate) struct Pair {
    pub(crate) cert: String,
    pub(crate) key: String,
    pub(crate) der: rustls::pki_types::CertificateDer<'static>,
    key_der: Vec<u8>,
}

pub(crate) fn pair(name: &str) -> Pair {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    Pair {
        cert: made.cert.pem(),
        key: made.signing_key.serialize_pem(),
        der: made.cert.der().clone(),
        key_der: made.signing_key.serialize_der(),
    }
}

pub(crate) fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

pub(crate) type TlsClient = Client<StreamOwned<ClientConnection, TcpStream>>;

pub(crate) fn connect(address: SocketAddr, name: &str, trusted: &Pair) -> TlsClient {
    connect_over(tcp(address), name, trusted)
}

/// TLS on a connection that is there.
pub(crate) fn connect_over(stream: TcpStream, name: &str, trusted: &Pair) -> TlsClient {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.der.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let session = ClientConnection::new(Arc::new(config), name).unwrap();
    Client::new(StreamOwned::new(session, stream))
}

#[test]
fn the_certificate_follows_the_server_name() {
    let (a, b) = (pair("a.test"), pair("x.b.test"));
    let mut config = config(echo());
    let id = |n: u8| format!("00000000-0000-4000-8000-0000000000{n:02}");
    config["certificates"] = json!([
        {"id": id(11), "cert": a.cert, "key": a.key},
        {"id": id(12), "cert": b.cert, "key": b.key},
    ]);
    config["snis"] = json!([
        {"id": id(13), "name": "a.test", "certificate": {"id": id(11)}},
        {"id": id(14), "name": "*.b.test", "certificate": {"id": id(12)}},
    ]);
    let gateway = Gateway::with(
        config,
        |settings| settings.listen = vec![Listen::https(SocketAddr::from(([127, 0, 0, 1], 0)))],
        |_| None,
    );
    for (name, trusted) in [("a.test", &a), ("x.b.test", &b)] {
        // The handshake fails unless the trusted certificate is the one that answers.
        let mut client = connect(gateway.address(), name, trusted);
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        let response = client.response(false);
        assert_eq!(response.status, 200);
        assert!(response.text().contains("X-Forwarded-Proto: https"));
    }
}

/// Connects with settings of its own, and tells how the handshake went.
fn shake_hands(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
) -> Result<rustls::HandshakeKind, std::io::Error> {
    let name = ServerName::try_from("a.test").unwrap();
    let session = ClientConnection::new(Arc::clone(config), name).unwrap();
    let mut stream = StreamOwned::new(session, tcp(address));
    stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    Ok(stream.conn.handshake_kind().unwrap())
}

fn client(trusted: &Pair, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.der.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

/// A gateway that shows a certificate, with an upstream that answers.
pub(crate) fn with_tls(own: &Pair, tls: Tls, workers: usize) -> Gateway {
    let key = keelgate_runtime::certificates::certified_key(&own.cert, &own.key).unwrap();
    Gateway::with(
        config(echo()),
        |settings| {
            settings.listen = vec![Listen::https(SocketAddr::from(([127, 0, 0, 1], 0)))];
            settings.workers = workers;
            settings.tls = Tls {
                certificates: vec![Arc::new(key)],
                ..tls
            };
        },
        |_| None,
    )
}

#[test]
fn sessions_are_resumed_by_whichever_worker() {
    let own = pair("a.test");
    let tickets = rustls::crypto::aws_lc_rs::Ticketer::new().unwrap();
    for resumption in [Resumption::Tickets(tickets), Resumption::Memory(100)] {
        let tls = Tls {
            resumption,
            ..Tls::default()
        };
        let gateway = with_tls(&own, tls, 4);
        for version in [&TLS12, &TLS13] {
            let client = client(&own, &[version]);
            let first = shake_hands(gateway.address(), &client).unwrap();
            assert_eq!(first, rustls::HandshakeKind::Full);
            for _ in 0..12 {
                let next = shake_hands(gateway.address(), &client).unwrap();
                assert_eq!(next, rustls::HandshakeKind::Resumed, "{version:?}");
            }
        }
    }
}

#[test]
fn only_the_chosen_versions_and_ciphers_are_spoken() {
    use rustls::crypto::aws_lc_rs::cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384;
    let own = pair("a.test");
    let modern = Tls {
        versions: vec![&TLS13],
        ..Tls::default()
    };
    let gateway = with_tls(&own, modern, 1);
    assert!(shake_hands(gateway.address(), &client(&own, &[&TLS12])).is_err());
    assert!(shake_hands(gateway.address(), &client(&own, &[&TLS13])).is_ok());
    // The key is one of an elliptic curve: a cipher for RSA leaves nothing to agree on.
    let rsa = Tls {
        versions: vec![&TLS12],
        ciphers: vec![TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384],
        ..Tls::default()
    };
    let gateway = with_tls(&own, rsa, 1);
    assert!(shake_hands(gateway.address(), &client(&own, &[&TLS12])).is_err());
}

fn client_with(
    trusted: &Pair,
    own: &Pair,
    version: &'static SupportedProtocolVersion,
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.der.clone()).unwrap();
    let key = PrivatePkcs8KeyDer::from(own.key_der.clone()).into();
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![own.der.clone()], key)
        .unwrap();
    Arc::new(config)
}

#[test]
fn clients_are_asked_for_a_certificate_on_every_connection() {
    let (own, known, stranger) = (pair("a.test"), pair("known.test"), pair("stranger.test"));
    let tickets = rustls::crypto::aws_lc_rs::Ticketer::new().unwrap();
    let asking = |optional: bool| {
        let mut roots = RootCertStore::empty();
        roots.add(known.der.clone()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider());
        let verifier = match optional {
            true => verifier.allow_unauthenticated(),
            false => verifier,
        };
        let tls = Tls {
            resumption: Resumption::Tickets(Arc::clone(&tickets)),
            client_verifier: Some(verifier.build().unwrap()),
            ..Tls::default()
        };
        with_tls(&own, tls, 1)
    };
    let (needs, may) = (asking(false), asking(true));
    let open = Tls {
        resumption: Resumption::Tickets(Arc::clone(&tickets)),
        ..Tls::default()
    };
    let open = with_tls(&own, open, 1);
    for version in [&TLS12, &TLS13] {
        let nobody = client(&own, &[version]);
        // A ticket of somebody who was not asked.
        assert!(shake_hands(open.address(), &nobody).is_ok());
        assert!(shake_hands(needs.address(), &nobody).is_err());
        assert!(shake_hands(may.address(), &nobody).is_ok());
        let strange = client_with(&own, &stranger, version);
        assert!(shake_hands(needs.address(), &strange).is_err());
        assert!(shake_hands(may.address(), &strange).is_err());
        let friend = client_with(&own, &known, version);
        for gateway in [&needs, &needs, &may, &may] {
            let kind = shake_hands(gateway.address(), &friend).unwrap();
            assert_eq!(kind, rustls::HandshakeKind::Full);
        }
    }
}

/// Tells the upstream whom the client's certificate is for.
struct Introduces;

impl Plugin for Introduces {
    fn phases(&self) -> Phases {
        Phases {
            access: true,
            ..Phases::default()
        }
    }

    fn access<'a, 'r: 'a>(&'r self, exchange: &'a mut Exchange<'r>) -> Access<'a> {
        let shown = exchange.client.certificate.as_deref();
        let shown = shown.map_or("nobody".to_owned(), |shown| {
            format!("{} of {}", shown.subject, shown.chain.len())
        });
        let headers = &mut exchange.headers;
        headers.insert("x-client", http::HeaderValue::try_from(shown).unwrap());
        Access::Ready(Flow::Continue)
    }
}

#[test]
fn plugins_see_the_certificate_of_a_client() {
    let own = pair("a.test");
    let mut named = rcgen::CertificateParams::new(vec!["known.test".to_owned()]).unwrap();
    named
        .distinguished_name
        .push(rcgen::DnType::OrganizationName, "Example");
    let key = rcgen::KeyPair::generate().unwrap();
    let made = named.self_signed(&key).unwrap();
    let known = Pair {
        cert: made.pem(),
        key: key.serialize_pem(),
        der: made.der().clone(),
        key_der: key.serialize_der(),
    };
    let mut roots = RootCertStore::empty();
    roots.add(known.der.clone()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider());
    let verifier = verifier.allow_unauthenticated().build().unwrap();
    let mut config = config(echo());
    config["plugins"] = json!([{
        "id": "00000000-0000-4000-8000-000000000051", "name": "introduces", "protocols": ["https"],
    }]);
    let key = keelgate_runtime::certificates::certified_key(&own.cert, &own.key).unwrap();
    let gateway = Gateway::with(
        config,
        |settings| {
            settings.listen = vec![Listen::https(SocketAddr::from(([127, 0, 0, 1], 0)))];
            settings.tls = Tls {
                certificates: vec![Arc::new(key)],
                client_verifier: Some(verifier),
                ..Tls::default()
            };
        },
        |_| Some(Arc::new(Introduces)),
    );
    let seen = |config: Arc<ClientConfig>| {
        let name = ServerName::try_from("a.test").unwrap();
        let session = ClientConnection::new(config, name).unwrap();
        let mut client = Client::new(StreamOwned::new(session, tcp(gateway.address())));
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        let seen = client.response(false).text();
        let told = seen
            .lines()
            .find_map(|line| line.strip_prefix("X-Client: "));
        told.unwrap().to_owned()
    };
    for version in [&TLS12, &TLS13] {
        assert_eq!(seen(client(&own, &[version])), "nobody");
        let shown = seen(client_with(&own, &known, version));
        assert!(
            shown.contains("O=Example") && shown.ends_with(" of 1"),
            "{shown}"
        );
    }
}

#[test]
fn plain_http_on_a_tls_port_is_told_so() {
    let gateway = Gateway::with(
        config(echo()),
        |settings| settings.listen = vec![Listen::https(SocketAddr::from(([127, 0, 0, 1], 0)))],
        |_| None,
    );
    let response = gateway.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(response.status, 400);
    assert!(
        response
            .text()
            .contains("The plain HTTP request was sent to HTTPS port")
    );
}

/// An upstream that answers requests over TLS.
pub(crate) fn tls_upstream(with: &Pair) -> SocketAddr {
    tls_upstream_for(with, None)
}

/// One that wants to see this certificate of its clients.
pub(crate) fn tls_upstream_for(with: &Pair, client: Option<&Pair>) -> SocketAddr {
    let clients = client.as_ref().map(std::slice::from_ref);
    tls_upstream_playing(with, clients, |mut client| {
        while client.request().is_some() {
            client.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    })
}

/// The upstream's end of a connection over TLS.
pub(crate) type TlsServer = Client<StreamOwned<rustls::ServerConnection, TcpStream>>;

/// An upstream over TLS that plays a script, and wants to see one of the certificates of `clients`, if
/// there are any to choose from.
pub(crate) fn tls_upstream_playing(
    with: &Pair,
    clients: Option<&[&Pair]>,
    script: impl Fn(TlsServer) + Send + Sync + 'static,
) -> SocketAddr {
    let key = PrivatePkcs8KeyDer::from(with.key_der.clone()).into();
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap();
    let config = match clients {
        None | Some([]) => config.with_no_client_auth(),
        Some(clients) => {
            let mut roots = RootCertStore::empty();
            for client in clients {
                roots.add(client.der.clone()).unwrap();
            }
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build();
            config.with_client_cert_verifier(verifier.unwrap())
        }
    };
    let config = config
        .with_single_cert(vec![with.der.clone()], key)
        .unwrap();
    let config = Arc::new(config);
    crate::support::upstream(move |client, _| {
        let session = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
        let client = Client::new(StreamOwned::new(session, client.stream));
        // Who is refused ends the handshake, and with it the script.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| script(client)));
    })
    .0
}

fn service(address: SocketAddr, extra: Value) -> Value {
    let mut service = json!({
        "id": SERVICE, "protocol": "https", "host": "localhost", "port": address.port(), "retries": 0,
    });
    service
        .as_object_mut()
        .unwrap()
        .extend(extra.as_object().unwrap().clone());
    with_service(service)
}

#[test]
fn upstreams_are_verified_unless_their_service_says_no() {
    let own = pair("localhost");
    let address = tls_upstream(&own);
    let get = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let gateway = Gateway::start(service(address, json!({"tls_verify": false})));
    let mut client = gateway.connect();
    client.send(get);
    assert_eq!(client.response(false).status, 200);

    // The open connection was not verified; it does not serve where that is asked.
    gateway.swap(service(address, json!({})));
    client.send(get);
    assert_eq!(client.response(false).status, 502);

    let ca = "00000000-0000-4000-8000-000000000021";
    let mut trusting = service(
        address,
        json!({"tls_verify": true, "ca_certificates": [ca]}),
    );
    trusting["ca_certificates"] = json!([{"id": ca, "cert": own.cert}]);
    gateway.swap(trusting);
    client.send(get);
    assert_eq!(client.response(false).status, 200);
}

#[test]
fn a_service_whose_certificates_are_missing_fails_alone() {
    let upstream = echo();
    let other = "00000000-0000-4000-8000-000000000031";
    let mut config = config(upstream);
    config["services"].as_array_mut().unwrap().push(json!({
        "id": other, "name": "o", "protocol": "https", "tls_verify": false,
        "host": "127.0.0.1", "port": upstream.port(),
        "ca_certificates": ["00000000-0000-4000-8000-000000000032"],
    }));
    config["routes"].as_array_mut().unwrap().push(json!({
        "id": "00000000-0000-4000-8000-000000000033", "name": "o", "protocols": ["http"],
        "paths": ["/other"], "service": {"id": other},
    }));
    let gateway = Gateway::start(config);
    assert_eq!(gateway.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n").status, 200);
    let harmed = gateway.ask("GET /other HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(harmed.status, 502);
}
