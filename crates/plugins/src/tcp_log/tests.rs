use std::io::{self, BufRead, BufReader};
use std::net::TcpListener;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::testing::*;

#[test]
fn every_request_is_one_line_and_a_closed_connection_is_made_anew() {
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = receiver.local_addr().unwrap().port();
    let plugin = compiled("tcp-log", json!({"host": "127.0.0.1", "port": port}));
    for method in ["GET", "POST"] {
        plugin.log(&mut exchange(method, "/a"));
        let (connection, _) = receiver.accept().unwrap();
        let mut line = String::new();
        BufReader::new(connection).read_line(&mut line).unwrap();
        let record: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(record["request"]["method"], method);
    }
}

/// A receiver over TLS: the name that it was asked by, and the first line that it got.
fn receive(
    listener: &TcpListener,
    certificate: &rcgen::CertifiedKey<rcgen::KeyPair>,
) -> io::Result<(String, String)> {
    let key = PrivateKeyDer::try_from(certificate.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.cert.der().clone()], key)
        .unwrap();
    let (connection, _) = listener.accept()?;
    let session = ServerConnection::new(Arc::new(config)).unwrap();
    let mut reader = BufReader::new(StreamOwned::new(session, connection));
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let name = reader.get_ref().conn.server_name().map(str::to_owned);
    Ok((name.unwrap_or_default(), line))
}

#[test]
fn records_go_over_tls_to_the_name_that_is_verified() {
    for (host, sni, name) in [
        ("127.0.0.1", Some("logs.test"), "logs.test"),
        ("localhost", None, "localhost"),
    ] {
        let certificate = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let config = json!({"host": host, "port": port, "tls": true, "tls_sni": sni});
        let plugin = compiled_trusting(certificate.cert.der(), "tcp-log", config);
        plugin.log(&mut exchange("GET", "/a"));
        let (asked, line) = receive(&listener, &certificate).unwrap();
        assert_eq!(asked, name);
        let record: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(record["request"]["method"], "GET");
    }
}

#[test]
fn a_receiver_that_nobody_vouches_for_gets_no_record() {
    let make = |name: &str| rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let (other, own) = (make("other.test"), make("logs.test"));
    // Another authority, and another name.
    for (shown, trusted) in [(&own, &other), (&other, &other)] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let config =
            json!({"host": "127.0.0.1", "port": port, "tls": true, "tls_sni": "logs.test"});
        let plugin = compiled_trusting(trusted.cert.der(), "tcp-log", config);
        plugin.log(&mut exchange("GET", "/a"));
        assert!(receive(&listener, shown).is_err());
    }
}

#[test]
fn settings_are_completed_and_checked() {
    let config = validated("tcp-log", json!({"host": "h.test", "port": 514})).unwrap();
    let expected = json!({
        "host": "h.test", "port": 514, "timeout": 10_000, "keepalive": 60_000, "tls": false,
        "tls_sni": null, "custom_fields_by_lua": null,
    });
    assert_eq!(config, expected);
    compiled("tcp-log", config);
    compiled(
        "tcp-log",
        json!({"host": "h.test", "port": 514, "tls": true}),
    );
    let odd = json!({"host": "h.test", "port": 514, "tls": true, "tls_sni": "a b"});
    assert!(refused("tcp-log", odd).contains("config.tls_sni"));
}
