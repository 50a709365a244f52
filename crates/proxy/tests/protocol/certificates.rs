//! Which certificate a client is shown, and what is agreed on, while the configuration changes.

use std::net::SocketAddr;
use std::sync::Arc;

use keelgate_proxy::{Listen, Tls};
use rustls::crypto::aws_lc_rs::cipher_suite::{
    TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
};
use rustls::pki_types::ServerName;
use rustls::version::TLS12;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};

use crate::support::{Client, Gateway, config, echo, tcp};
use crate::tls::{Pair, TlsClient, pair, provider, with_tls};

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

fn id(number: u8) -> String {
    format!("00000000-0000-4000-8000-0000000000{number:02}")
}

/// Certificates for server names; all of them hold for `a.test`.
fn named(names: &[(&str, &Pair)]) -> Value {
    let mut config = config(echo());
    let numbered = || (11..).zip(names);
    config["certificates"] = numbered()
        .map(|(n, (_, pair))| json!({"id": id(n), "cert": pair.cert, "key": pair.key}))
        .collect();
    config["snis"] = numbered()
        .map(|(n, (name, _))| json!({"id": id(n + 20), "name": name, "certificate": {"id": id(n)}}))
        .collect();
    config
}

fn trusting(pairs: &[&Pair]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for pair in pairs {
        roots.add(pair.der.clone()).unwrap();
    }
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// A connection that was served a request.
fn served(gateway: &Gateway, config: ClientConfig) -> TlsClient {
    let name = ServerName::try_from("a.test").unwrap();
    let session = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut client = Client::new(StreamOwned::new(session, tcp(gateway.address())));
    client.send(GET);
    assert_eq!(client.response(false).status, 200);
    client
}

/// Which of these certificates is shown to a client that asks for `a.test`, or for no name.
fn shown(gateway: &Gateway, pairs: &[Pair], names: bool) -> usize {
    let pairs: Vec<&Pair> = pairs.iter().collect();
    let mut config = trusting(&pairs);
    config.enable_sni = names;
    let client = served(gateway, config);
    let shown = &client.stream.conn.peer_certificates().unwrap()[0];
    let at = pairs.iter().position(|pair| pair.der == *shown);
    at.unwrap()
}

#[test]
fn a_name_has_its_own_certificate_or_that_of_all_names_or_that_of_the_node() {
    let pairs = ["a.test"; 3].map(pair);
    let [node, own, every] = &pairs;
    let gateway = with_tls(node, Tls::default(), 1);
    let shown = |config: Value, names| {
        gateway.swap(config);
        shown(&gateway, &pairs, names)
    };
    assert_eq!(shown(named(&[]), true), 0);
    assert_eq!(shown(named(&[("b.test", own)]), true), 0);
    assert_eq!(shown(named(&[("b.test", own), ("*", every)]), true), 2);
    assert_eq!(shown(named(&[("a.test", own), ("*", every)]), true), 1);
    assert_eq!(shown(named(&[("*.test", own), ("*", every)]), true), 1);
    assert_eq!(shown(named(&[("a.test", own), ("*", every)]), false), 2);
    assert_eq!(shown(named(&[("a.test", own)]), false), 0);
}

#[test]
fn a_certificate_is_replaced_and_taken_away_while_connections_stay() {
    let pairs = ["a.test"; 3].map(pair);
    let [node, before, after] = &pairs;
    let gateway = with_tls(node, Tls::default(), 1);
    gateway.swap(named(&[("a.test", before)]));
    let mut kept = served(&gateway, trusting(&[before]));
    for (config, expected) in [
        (named(&[("a.test", after)]), 2),
        (named(&[]), 0),
        (named(&[("a.test", before)]), 1),
    ] {
        gateway.swap(config);
        assert_eq!(shown(&gateway, &pairs, true), expected);
        kept.send(GET);
        assert_eq!(kept.response(false).status, 200);
    }
}

#[test]
fn the_order_of_ciphers_is_the_clients_or_the_nodes_own() {
    const SMALL: rustls::SupportedCipherSuite = TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256;
    const LARGE: rustls::SupportedCipherSuite = TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384;
    let own = pair("a.test");
    let mut roots = RootCertStore::empty();
    roots.add(own.der.clone()).unwrap();
    let mut wanting = rustls::crypto::CryptoProvider::clone(&provider());
    wanting.cipher_suites = vec![SMALL, LARGE];
    let client = ClientConfig::builder_with_provider(Arc::new(wanting))
        .with_protocol_versions(&[&TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    for (own_order, expected) in [(false, SMALL), (true, LARGE)] {
        let tls = Tls {
            ciphers: vec![LARGE, SMALL],
            own_order,
            ..Tls::default()
        };
        let gateway = with_tls(&own, tls, 1);
        let agreed = served(&gateway, client.clone());
        let suite = agreed.stream.conn.negotiated_cipher_suite();
        assert_eq!(suite, Some(expected), "{own_order}");
    }
}

#[test]
fn without_any_certificate_of_its_own_a_node_shows_the_one_it_was_compiled_with() {
    let gateway = Gateway::with(
        config(echo()),
        |settings| settings.listen = vec![Listen::https(SocketAddr::from(([127, 0, 0, 1], 0)))],
        |_| None,
    );
    let mut roots = RootCertStore::empty();
    let compiled = &gateway.env.default_certificate.cert[0];
    roots.add(compiled.clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("default.test").unwrap();
    let session = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut client = Client::new(StreamOwned::new(session, tcp(gateway.address())));
    client.send(GET);
    assert_eq!(client.response(false).status, 200);
}
