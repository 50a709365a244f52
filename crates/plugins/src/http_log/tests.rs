use std::net::TcpListener;

use serde_json::{Value, json};

use crate::testing::*;

fn server() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

#[test]
fn a_record_is_sent_until_it_is_taken() {
    let (server, address) = server();
    let config = json!({
        "http_endpoint": format!("http://na%20me:pw@{address}/log?a=1"),
        "method": "PUT", "headers": {"X-Log": "1"},
    });
    let plugin = compiled("http-log", config);
    plugin.log(&mut exchange("GET", "/a"));
    let (mut connection, _) = server.accept().unwrap();
    for status in [500, 200] {
        let (head, record) = receive(&mut connection, status);
        let record: Value = serde_json::from_slice(&record).unwrap();
        assert!(head.starts_with("PUT /log?a=1 HTTP/1.1\r\n"), "{head}");
        let head = head.to_ascii_lowercase();
        for line in [
            "x-log: 1",
            "content-type: application/json",
            "authorization: basic bmelmjbtztpwdw==",
        ] {
            assert!(head.contains(&format!("\r\n{line}\r\n")), "{head}");
        }
        assert_eq!(record["request"]["method"], "GET");
    }
}

#[test]
fn several_records_are_sent_in_a_list() {
    let (server, address) = server();
    let queue = json!({"max_batch_size": 2, "max_coalescing_delay": 3600});
    let config = json!({"http_endpoint": format!("http://{address}/"), "queue": queue});
    let plugin = compiled("http-log", config);
    for method in ["GET", "POST"] {
        plugin.log(&mut exchange(method, "/a"));
    }
    let (mut connection, _) = server.accept().unwrap();
    let (_, records) = receive(&mut connection, 200);
    let records: Value = serde_json::from_slice(&records).unwrap();
    let methods: Vec<_> = records
        .as_array()
        .unwrap()
        .iter()
        .map(|r| &r["request"]["method"])
        .collect();
    assert_eq!(methods, ["GET", "POST"]);
}

#[test]
fn settings_are_completed_and_checked() {
    let config = validated("http-log", json!({"http_endpoint": "http://h.test/log"})).unwrap();
    assert_eq!(config["method"], "POST");
    assert_eq!(config["timeout"], 10_000);
    assert_eq!(config["queue"]["max_entries"], 10_000);
    assert_eq!(config["queue"]["initial_retry_delay"], 0.01);
    compiled("http-log", config);
    let problems = |config| validated("http-log", config).unwrap_err()["fields"].clone();
    problems(json!({}));
    problems(json!({"http_endpoint": "http://h.test", "headers": {"Host": "x"}}));
    let both = json!({
        "http_endpoint": "http://a:b@h.test/", "headers": {"Authorization": "x"},
    });
    let problem =
        "specifying both an 'Authorization' header and user info in 'http_endpoint' is not allowed";
    assert_eq!(problems(both), json!({"config": problem}));
}
