//! Certificates from an authority that speaks ACME.

use std::sync::{Arc, Mutex};

use e2e::key_values::{Consul, Vault};
use e2e::pebble::{BINDING, Pebble};
use e2e::{Node, Redis, Role, Upstream, ports, wait};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

fn config(upstream: &Upstream, pebble: &Pebble, more: Value) -> Value {
    let mut acme = json!({
        "account_email": "ops@example.test", "api_uri": pebble.url(), "tos_accepted": true,
        "cert_type": "ecc", "domains": ["a.example.test", "*.b.example.test"],
        "fail_backoff_minutes": 0,
    });
    let fields = more.as_object().expect("an object").clone();
    acme.as_object_mut().expect("an object").extend(fields);
    json!({
        "_format_version": "3.0",
        "plugins": [{"name": "acme", "config": acme}],
        "services": [{"name": "s", "url": upstream.url(), "routes": [{"name": "r", "paths": ["/"]}]}],
    })
}

/// Sees any certificate, and keeps it with those that are sent along.
#[derive(Debug)]
struct Seen {
    last: Mutex<Vec<Vec<u8>>>,
    provider: Arc<rustls::crypto::CryptoProvider>,
}

impl ServerCertVerifier for Seen {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain = std::iter::once(certificate).chain(others);
        *self.last.lock().expect("not poisoned") = chain.map(|one| one.to_vec()).collect();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

/// The certificate that a node shows for a name.
async fn shown(node: &Node, name: &'static str) -> Vec<u8> {
    chain(node, name).await.swap_remove(0)
}

/// The same with those that are sent along.
async fn chain(node: &Node, name: &'static str) -> Vec<Vec<u8>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let seen = Arc::new(Seen {
        last: Mutex::default(),
        provider: Arc::clone(&provider),
    });
    let verifier = Arc::clone(&seen) as Arc<dyn ServerCertVerifier>;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    let stream = TcpStream::connect(("127.0.0.1", node.ports.proxy_tls))
        .await
        .expect("connect");
    let name = ServerName::try_from(name).expect("a name");
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(name, stream).await.expect("a handshake");
    let last = std::mem::take(&mut *seen.last.lock().expect("not poisoned"));
    assert!(!last.is_empty());
    last
}

/// Waits until a node shows a certificate that is issued for the name, and returns it.
async fn issued(node: &Node, pebble: &Pebble, name: &'static str) -> Vec<u8> {
    wait::until("the certificate", || async {
        let certificate = shown(node, name).await;
        let has = |text: &[u8]| certificate.windows(text.len()).any(|part| part == text);
        if has(name.as_bytes()) && has(b"Pebble Intermediate") {
            Ok(certificate)
        } else {
            let log: Vec<String> = pebble
                .log()
                .lines()
                .rev()
                .take(8)
                .map(str::to_owned)
                .collect();
            Err(log.join("\n"))
        }
    })
    .await
}

async fn node(pebble: &Pebble, proxy: Option<u16>) -> Node {
    node_as(Role::Dbless, pebble, proxy).await
}

async fn node_as(role: Role, pebble: &Pebble, proxy: Option<u16>) -> Node {
    let authority = pebble.authority();
    let hosts = pebble.hosts(&["store.example.test"]);
    let mut settings = vec![
        ("lua_ssl_trusted_certificate", authority.as_str()),
        ("dns_hostsfile", &hosts),
    ];
    let listen = proxy.map(|port| format!("127.0.0.1:{port}"));
    let tls = ports::free();
    let listen = listen.map(|plain| format!("{plain}, 127.0.0.1:{tls} ssl http2"));
    if let Some(listen) = &listen {
        settings.push(("proxy_listen", listen));
    }
    let mut node = Node::start(role, &settings, &[]);
    if let Some(port) = proxy {
        node.ports.proxy = port;
        node.ports.proxy_tls = tls;
    }
    node.up().await;
    node
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_issued_when_a_client_asks_for_its_name() {
    let upstream = Upstream::start().await;
    let port = ports::free();
    let pebble = Pebble::start(port, true).await;
    let node = node(&pebble, Some(port)).await;
    let more = json!({"eab_kid": BINDING.0, "eab_hmac_key": BINDING.1});
    node.change("POST", "/config", config(&upstream, &pebble, more))
        .await;
    node.serves("/", 200).await;
    let default = shown(&node, "c.example.test").await;
    issued(&node, &pebble, "a.example.test").await;
    issued(&node, &pebble, "x.b.example.test").await;
    // Nobody is let order for other names.
    assert_eq!(shown(&node, "c.example.test").await, default);
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_share_certificates_over_redis() {
    let (upstream, redis) = (Upstream::start().await, Redis::start().await);
    let port = ports::free();
    let pebble = Pebble::start(port, false).await;
    let more = json!({
        "storage": "redis",
        "storage_config": {"redis": {
            "host": "store.example.test", "port": redis.port, "timeout": 30_000,
            "extra_options": {"namespace": "n*:"},
        }},
    });
    let first = node(&pebble, Some(port)).await;
    let second = node(&pebble, None).await;
    for node in [&first, &second] {
        let config = config(&upstream, &pebble, more.clone());
        node.change("POST", "/config", config).await;
        node.serves("/", 200).await;
    }
    // The authority asks the first for the answer to what the second has ordered.
    let certificate = issued(&second, &pebble, "a.example.test").await;
    assert_eq!(issued(&first, &pebble, "a.example.test").await, certificate);
}

/// Whether what one node orders is served by another with the same storage, and the authority, which asks one of them
/// for answers, gets those of the other.
async fn nodes_share_certificates(storage: Value) {
    let upstream = Upstream::start().await;
    let port = ports::free();
    let pebble = Pebble::start(port, false).await;
    let first = node(&pebble, Some(port)).await;
    let second = node(&pebble, None).await;
    for node in [&first, &second] {
        let config = config(&upstream, &pebble, storage.clone());
        node.change("POST", "/config", config).await;
        node.serves("/", 200).await;
    }
    let certificate = issued(&second, &pebble, "a.example.test").await;
    assert_eq!(issued(&first, &pebble, "a.example.test").await, certificate);
    let (_, all) = first.ask("GET", "/acme/certificates", Value::Null).await;
    assert_eq!(all["data"][0]["host"], "a.example.test", "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_share_certificates_over_consul() {
    let consul = Consul::start().await;
    let settings = json!({"host": "store.example.test", "port": consul.port, "kv_path": "/gate way/acme", "timeout": 30_000});
    nodes_share_certificates(json!({"storage": "consul", "storage_config": {"consul": settings}}))
        .await;
    let kept = consul.keys("gate%20way/").await.expect("an answer");
    let of_kong = ["cert_key", "renew_config"]
        .map(|kind| format!("gate way/acme/kong_acme:{kind}:a.example.test"));
    assert!(of_kong.iter().all(|key| kept.contains(key)), "{kept:?}");
    // Answers to challenges and locks are gone.
    assert!(
        !kept
            .iter()
            .any(|key| key.contains('#') || key.contains("lock")),
        "{kept:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_share_certificates_over_vault() {
    let vault = Vault::start().await;
    let settings = json!({"host": "store.example.test", "port": vault.port, "token": vault.token, "timeout": 30_000});
    nodes_share_certificates(json!({"storage": "vault", "storage_config": {"vault": settings}}))
        .await;
    let (_, kept) = vault
        .ask("GET", "secret/metadata/acme?list=true", Value::Null)
        .await;
    for key in [
        "kong_acme:cert_key:a.example.test",
        "kong_acme:renew_config:a.example.test",
    ] {
        assert!(kept.contains(key), "{kept}");
    }
    assert!(!kept.contains('#') && !kept.contains("lock"), "{kept}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_preferred_chain_is_served() {
    let upstream = Upstream::start().await;
    let port = ports::free();
    let pebble = Pebble::start(port, false).await;
    let node = node(&pebble, Some(port)).await;
    for (at, root) in pebble.roots().await.into_iter().enumerate() {
        let more = json!({"preferred_chain": root, "domains": ["*.example.test"]});
        node.change("POST", "/config", config(&upstream, &pebble, more))
            .await;
        node.serves("/", 200).await;
        let name = ["first.example.test", "second.example.test"][at];
        issued(&node, &pebble, name).await;
        let chain = chain(&node, name).await;
        let last = chain.last().expect("a certificate");
        assert!(
            last.windows(root.len()).any(|part| part == root.as_bytes()),
            "{root}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_api_orders_tells_and_renews_certificates() {
    let upstream = Upstream::start().await;
    let port = ports::free();
    let pebble = Pebble::start(port, false).await;
    let node = node(&pebble, Some(port)).await;
    assert_eq!(
        node.ask("GET", "/acme/certificates", Value::Null).await.0,
        404
    );
    // Every certificate is to be renewed as soon as it is there.
    let more = json!({"renew_threshold_days": 1000});
    node.change("POST", "/config", config(&upstream, &pebble, more))
        .await;
    node.serves("/", 200).await;

    // What an authority would see before there is anything to prove.
    let probe = reqwest::Client::new().get(node.proxy("/.well-known/acme-challenge/x"));
    let probe = probe.header("host", "a.example.test").send().await;
    let probe = probe.expect("an answer");
    assert_eq!(probe.status(), 404);
    assert_eq!(probe.text().await.expect("a body"), "Not found\n");
    node.serves("/.well-known/acme-challenge/x", 200).await;

    let tried = json!({"host": "c.example.test", "test_http_challenge_flow": true});
    let (status, told) = node.ask("POST", "/acme", tried).await;
    assert_eq!(status, 400, "{told}");
    assert!(told.to_string().contains("not included"), "{told}");

    let (status, told) = node
        .ask("POST", "/acme", json!({"host": "a.example.test"}))
        .await;
    assert_eq!(
        (status, told),
        (
            201,
            json!({"message": "certificate for host a.example.test is created"})
        )
    );
    let (_, one) = node
        .ask("GET", "/acme/certificates/a.example.test", Value::Null)
        .await;
    let one = &one["data"];
    assert_eq!(one["host"], "a.example.test");
    assert_eq!(one["valid"], true);
    let issuer = one["issuer_cn"].as_str().expect("a name");
    assert!(issuer.starts_with("Pebble Intermediate"), "{issuer}");
    let (_, all) = node.ask("GET", "/acme/certificates", Value::Null).await;
    assert_eq!(all["data"].as_array().map(Vec::len), Some(1), "{all}");
    let (_, invalid) = node
        .ask("GET", "/acme/certificates?invalid_only=true", Value::Null)
        .await;
    assert_eq!(invalid, json!({"data": []}));
    let first = issued(&node, &pebble, "a.example.test").await;

    let (status, _) = node.ask("PATCH", "/acme", Value::Null).await;
    assert_eq!(status, 202);
    wait::until("the renewed certificate", || async {
        let now = issued(&node, &pebble, "a.example.test").await;
        (now != first).then_some(()).ok_or("it is the first")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_is_not_believed_is_told_nothing() {
    let upstream = Upstream::start().await;
    let port = ports::free();
    let pebble = Pebble::start(port, false).await;
    let node = Node::start(Role::Dbless, &[], &[]);
    node.up().await;
    node.change("POST", "/config", config(&upstream, &pebble, json!({})))
        .await;
    node.serves("/", 200).await;
    let (status, told) = node
        .ask("POST", "/acme", json!({"host": "a.example.test"}))
        .await;
    assert_eq!(status, 500, "{told}");
    let told = told["message"].as_str().expect("a message").to_owned();
    let expected =
        "failed to update certificate: could not create certificate for host: a.example.test err: ";
    assert!(told.starts_with(expected), "{told}");
    assert!(!pebble.log().contains("new-acct"), "{}", pebble.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_keeps_certificates_over_restarts() {
    let upstream = Upstream::start().await;
    let port = ports::free();
    let mut pebble = Pebble::start(port, false).await;
    let mut node = node_as(Role::Traditional, &pebble, Some(port)).await;
    let service = json!({"name": "s", "url": upstream.url()});
    node.change("POST", "/services", service).await;
    node.change("POST", "/services/s/routes", json!({"paths": ["/"]}))
        .await;
    let plugin = config(&upstream, &pebble, json!({"storage": "kong"}))["plugins"][0].take();
    node.change("POST", "/plugins", plugin).await;
    node.serves("/", 200).await;
    let certificate = issued(&node, &pebble, "a.example.test").await;

    node.stop().await;
    pebble.kill();
    node.start_again();
    node.up().await;
    node.serves("/", 200).await;
    // Nobody is left who could issue another one.
    wait::until("the certificate of the database", || async {
        let now = shown(&node, "a.example.test").await;
        (now == certificate).then_some(()).ok_or("another one")
    })
    .await;
}
