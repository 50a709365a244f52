//! The addresses that a node listens on.

use keelgate_settings::VerifyClient;

use crate::{Node, find};

#[test]
fn listeners_may_not_share_a_port_but_ipv6_lives_beside_ipv4() {
    let problems = Node::new()
        .file("status_listen = 127.0.0.1:8000")
        .problems();
    assert!(
        find(&problems, "status_listen")
            .message
            .contains("taken by proxy_listen")
    );
    Node::new()
        .file("proxy_listen = 0.0.0.0:8000, [::]:8000")
        .load();
}

#[test]
fn a_listener_of_streams_has_options_of_its_own() {
    for (listen, option) in [
        ("0.0.0.0:9000 http2", "http2"),
        ("0.0.0.0:9000 deferred", "deferred"),
        ("0.0.0.0:9000 udp ssl", "ssl"),
        ("0.0.0.0:9000 udp proxy_protocol", "proxy_protocol"),
    ] {
        let node = Node::new().file(&format!("stream_listen = {listen}"));
        let problems = node.problems();
        let told = find(&problems, "stream_listen");
        assert_eq!(told.mend, format!("remove the option {option}"));
    }
    let node = Node::new()
        .file("stream_listen = 0.0.0.0:9000, 0.0.0.0:9000 udp, 0.0.0.0:9443 ssl proxy_protocol");
    assert_eq!(node.settings().listen.stream_listen.len(), 3);
}

#[test]
fn an_open_admin_api_is_warned_about() {
    let loaded = Node::new().file("admin_listen = 0.0.0.0:8001").load();
    assert!(
        find(&loaded.remarks, "admin_listen")
            .message
            .contains("no log-in")
    );
}

#[test]
fn clients_cannot_be_verified_without_authorities() {
    for choice in ["on", "optional"] {
        let problems = Node::new()
            .file(&format!("nginx_proxy_ssl_verify_client = {choice}"))
            .problems();
        assert_eq!(
            find(&problems, "nginx_http_ssl_client_certificate").message,
            "must be specified when nginx_http_ssl_verify_client is not off"
        );
    }
    let settings = Node::new().file("").settings();
    assert_eq!(settings.tls.nginx_http_ssl_verify_client, VerifyClient::Off);
}
