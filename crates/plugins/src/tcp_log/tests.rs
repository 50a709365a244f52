use std::io::{BufRead, BufReader};
use std::net::TcpListener;

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
