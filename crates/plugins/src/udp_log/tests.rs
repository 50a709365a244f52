use std::net::UdpSocket;

use serde_json::{Value, json};

use crate::testing::*;

#[test]
fn every_request_is_one_datagram() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = receiver.local_addr().unwrap().port();
    let plugin = compiled("udp-log", json!({"host": "127.0.0.1", "port": port}));
    plugin.log(&mut exchange("GET", "/a"));
    plugin.log(&mut exchange("POST", "/b"));
    let mut methods = Vec::new();
    for _ in 0..2 {
        let mut datagram = vec![0; 65_536];
        let length = receiver.recv(&mut datagram).unwrap();
        let record: Value = serde_json::from_slice(&datagram[..length]).unwrap();
        methods.push(record["request"]["method"].clone());
    }
    assert_eq!(methods, ["GET", "POST"]);
}

#[test]
fn settings_are_completed_and_checked() {
    let config = validated("udp-log", json!({"host": "h.test", "port": 514})).unwrap();
    let expected = json!({
        "host": "h.test", "port": 514, "timeout": 10_000, "custom_fields_by_lua": null,
    });
    assert_eq!(config, expected);
    compiled("udp-log", config);
    validated("udp-log", json!({"host": "h.test"})).unwrap_err();
    let odd = json!({"host": "h.test", "port": 514, "timeout": -1});
    assert!(refused("udp-log", odd).contains("config.timeout"));
}
