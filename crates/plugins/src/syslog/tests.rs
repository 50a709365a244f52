use std::os::unix::net::UnixDatagram;
use std::time::{Duration, UNIX_EPOCH};

use http::StatusCode;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::handler::{Messages, compile_for};
use crate::logging::fields::Fields;
use crate::logging::severity::Severities;
use crate::testing::*;

#[test]
fn a_message_begins_as_those_of_the_c_library_do() {
    let messages = Messages {
        severities: Severities::default(),
        facility: 16,
        fields: Fields::default(),
        zone: TimeZone::UTC,
        process: 42,
    };
    let at = UNIX_EPOCH + Duration::from_secs(1_709_296_496);
    let mut head = Vec::new();
    messages.head(3, at, &mut head);
    assert_eq!(
        String::from_utf8(head).unwrap(),
        "<131>Mar  1 12:34:56 kong[42]: "
    );
}

#[test]
fn the_log_of_the_machine_is_told_what_is_grave_enough() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("log");
    let log = UnixDatagram::bind(&socket).unwrap();
    let config = json!({
        "log_level": "warning", "client_errors_severity": "err", "facility": "daemon",
    });
    let Value::Object(config) = config else {
        unreachable!();
    };
    let registry = registry();
    let plugin = compile_for(registry.node(), &plugin("syslog", config), &socket).unwrap();
    for status in [StatusCode::OK, StatusCode::NOT_FOUND] {
        let mut exchange = exchange("GET", "/a");
        exchange.response.status = status;
        plugin.log(&mut exchange);
    }
    let mut message = vec![0; 65_536];
    let length = log.recv(&mut message).unwrap();
    let message = std::str::from_utf8(&message[..length]).unwrap();
    assert!(message.starts_with("<27>"), "{message}");
    let (_, record) = message
        .split_once(&format!(" kong[{}]: ", std::process::id()))
        .unwrap();
    let record: Value = serde_json::from_str(record).unwrap();
    assert_eq!(record["response"]["status"], 404);
}

#[test]
fn settings_are_completed_and_checked() {
    let config = validated("syslog", json!({})).unwrap();
    let expected = json!({
        "log_level": "info", "successful_severity": "info", "client_errors_severity": "info",
        "server_errors_severity": "info", "custom_fields_by_lua": null, "facility": "user",
    });
    assert_eq!(config, expected);
    compiled("syslog", config);
    let error = validated("syslog", json!({"log_level": "loud"})).unwrap_err();
    let problem = "expected one of: debug, info, notice, warning, err, crit, alert, emerg";
    assert_eq!(error["fields"]["config"]["log_level"], problem);
}
