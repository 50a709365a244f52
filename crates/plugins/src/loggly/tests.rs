use std::net::UdpSocket;

use http::StatusCode;
use serde_json::{Value, json};

use crate::testing::*;

#[test]
fn every_request_is_one_message_of_syslog() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = receiver.local_addr().unwrap().port();
    let config = json!({
        "host": "127.0.0.1", "port": port, "key": "k-1", "tags": ["a", "b"],
        "server_errors_severity": "crit",
    });
    let plugin = compiled("loggly", config);
    let mut exchange = exchange("GET", "/a");
    exchange.response.status = StatusCode::BAD_GATEWAY;
    plugin.log(&mut exchange);
    let mut message = vec![0; 65_536];
    let length = receiver.recv(&mut message).unwrap();
    let message = std::str::from_utf8(&message[..length]).unwrap();
    let head = "<10>1 2024-02-29T12:34:56Z node.test kong - - [k-1@41058 tag=\"a\" tag=\"b\"] ";
    let record = message
        .strip_prefix(head)
        .unwrap_or_else(|| panic!("{message}"));
    let record: Value = serde_json::from_str(record).unwrap();
    assert_eq!(record["response"]["status"], 502);
}

#[test]
fn settings_are_completed_and_checked() {
    let config = validated("loggly", json!({"key": "k"})).unwrap();
    let expected = json!({
        "host": "logs-01.loggly.com", "port": 514, "key": "k", "tags": ["kong"],
        "log_level": "info", "successful_severity": "info", "client_errors_severity": "info",
        "server_errors_severity": "info", "timeout": 10_000, "custom_fields_by_lua": null,
    });
    assert_eq!(config, expected);
    compiled("loggly", config);
    let error = validated("loggly", json!({})).unwrap_err();
    assert_eq!(error["fields"]["config"]["key"], "required field missing");
}

#[test]
fn a_session_is_told_as_a_success() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = receiver.local_addr().unwrap().port();
    let config = json!({
        "host": "127.0.0.1", "port": port, "key": "k-1", "server_errors_severity": "crit",
    });
    let plugin = compiled("loggly", config);
    let session = crate::stream::Ended {
        status: 502,
        ..ended()
    };
    plugin.stream().unwrap().log(&session);
    let mut message = vec![0; 65_536];
    let length = receiver.recv(&mut message).unwrap();
    let message = std::str::from_utf8(&message[..length]).unwrap();
    assert!(message.starts_with("<14>1 2024-02-29T12:34:57Z node.test kong - - [k-1@41058 "));
    assert!(message.contains("\"session\":{\"tls\":"), "{message}");
}
