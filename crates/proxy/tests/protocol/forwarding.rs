//! What upstreams are told of where a request came from, and whom the gateway believes.

use serde_json::Value;

use crate::support::{Gateway, config, echo};

const TOLD: &str = "X-Forwarded-Proto: https\r\nX-Forwarded-Host: front.test\r\n\
                    X-Forwarded-Port: 4443\r\nX-Forwarded-Path: /outer\r\n\
                    X-Forwarded-Prefix: /pre\r\nX-Real-IP: 192.0.2.7\r\n";

fn trusting(config: Value, trusted: &str) -> Gateway {
    Gateway::with(
        config,
        |settings| settings.trusted_ips = vec![trusted.parse().unwrap()],
        |_| None,
    )
}

/// What the upstream sees of a request with these headers.
fn seen(gateway: &Gateway, lines: &str) -> String {
    let response = gateway.ask(&format!("GET /p HTTP/1.1\r\nHost: h\r\n{lines}\r\n"));
    assert_eq!(response.status, 200);
    response.text()
}

fn assert_lines(seen: &str, lines: &[&str]) {
    for line in lines {
        assert!(seen.lines().any(|own| own == *line), "{line} in {seen}");
    }
}

#[test]
fn a_trusted_proxy_is_believed() {
    let gateway = trusting(config(echo()), "127.0.0.0/8");
    assert_lines(
        &seen(&gateway, TOLD),
        &[
            "X-Forwarded-Proto: https",
            "X-Forwarded-Host: front.test",
            "X-Forwarded-Port: 4443",
            "X-Forwarded-Path: /outer",
            "X-Forwarded-Prefix: /pre",
            "X-Real-IP: 192.0.2.7",
        ],
    );
}

#[test]
fn nobody_else_is_believed() {
    let gateway = trusting(config(echo()), "192.0.2.0/24");
    let port = format!("X-Forwarded-Port: {}", gateway.address().port());
    let seen = seen(&gateway, TOLD);
    assert_lines(
        &seen,
        &[
            "X-Forwarded-Proto: http",
            "X-Forwarded-Host: h",
            &port,
            "X-Forwarded-Path: /p",
            "X-Real-IP: 127.0.0.1",
        ],
    );
    for told in [
        "X-Forwarded-Prefix",
        "front.test",
        "4443",
        "/outer",
        "192.0.2.7",
    ] {
        assert!(!seen.contains(told), "{told} in {seen}");
    }
}

#[test]
fn https_that_a_trusted_proxy_tells_opens_a_route_for_https() {
    let mut config = config(echo());
    config["routes"][0]["protocols"] = serde_json::json!(["https"]);
    let status = |trusted, proto| {
        let gateway = trusting(config.clone(), trusted);
        let lines = format!("X-Forwarded-Proto: {proto}");
        let request = format!("GET /p HTTP/1.1\r\nHost: h\r\n{lines}\r\n\r\n");
        gateway.ask(&request).status
    };
    assert_eq!(status("127.0.0.0/8", "https"), 200);
    assert_eq!(status("127.0.0.0/8", "http"), 426);
    assert_eq!(status("192.0.2.0/24", "https"), 426);
}

#[test]
fn every_hop_that_was_told_goes_on_before_the_peer() {
    for trusted in ["127.0.0.0/8", "192.0.2.0/24"] {
        let gateway = trusting(config(echo()), trusted);
        for (lines, expected) in [
            ("", "127.0.0.1"),
            ("X-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1, 127.0.0.1"),
            (
                "X-Forwarded-For: a, b\r\nX-Forwarded-For: 192.0.2.1\r\n",
                "a, b, 192.0.2.1, 127.0.0.1",
            ),
            (
                "X_Forwarded_For: a\r\nX-Forwarded-For: 192.0.2.1\r\n",
                "a, 192.0.2.1, 127.0.0.1",
            ),
        ] {
            let seen = seen(&gateway, lines);
            let told: Vec<_> = seen
                .lines()
                .filter_map(|line| line.strip_prefix("X-Forwarded-For: "))
                .collect();
            assert_eq!(told, [expected], "{lines}");
        }
    }
}
