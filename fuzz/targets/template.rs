//! A template that is accepted can be filled in for every request, and what it makes never breaks
//! out of a header's value.

#![no_main]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::{Instant, UNIX_EPOCH};

use http::{HeaderValue, Method, StatusCode, Version};
use keelgate_entities::kinds::{self, Protocol};
use keelgate_plugins::exchange::{Client, MadeBy, ResponseHead, Times, Upstream};
use keelgate_plugins::{Access, Directory, Exchange, Flow, HeaderMap, Registry};
use libfuzzer_sys::fuzz_target;
use serde_json::json;
use uuid::Uuid;

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| Registry::new(Uuid::nil(), "node.test"));

fn exchange<'r>(header: &[u8], query: &str) -> Exchange<'r> {
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(header) {
        headers.insert("x-a", value);
    }
    Exchange {
        request_id: "0123456789abcdef0123456789abcdef".to_owned(),
        client: Client {
            peer: SocketAddr::from(([192, 0, 2, 7], 40_000)),
            ip: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
            local: SocketAddr::from(([127, 0, 0, 1], 8000)),
            sni: None,
            tls: false,
        },
        method: Method::GET,
        version: Version::HTTP_11,
        protocol: Protocol::Http,
        host: "example.test".to_owned(),
        port: 8000,
        raw_path: "/a".to_owned(),
        query: Some(query.to_owned()),
        headers,
        request_body: None,
        upstream: Upstream {
            protocol: Protocol::Http,
            host: "upstream.test".to_owned(),
            port: 80,
            path: "/a".to_owned(),
            host_header: None,
        },
        route: None,
        service: None,
        captures: vec![("1".to_owned(), "seg".to_owned())],
        consumer: None,
        credential: None,
        response: ResponseHead {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            made_by: MadeBy::Upstream,
        },
        shared: vec![("foo".to_owned(), "bar".to_owned())],
        kept: Vec::new(),
        times: Times {
            received_at: UNIX_EPOCH,
            started: Instant::now(),
            upstream: None,
        },
    }
}

fuzz_target!(|input: (&str, &str, &[u8])| {
    let (template, query, header) = input;
    // No reader of requests lets another query through.
    if !query.bytes().all(|byte| byte.is_ascii_graphic()) {
        return;
    }
    let plugin = json!({
        "id": Uuid::nil(),
        "name": "request-transformer",
        "enabled": true,
        "protocols": ["http"],
        "config": {
            "replace": {"uri": template},
            "add": {
                "headers": [format!("x-b:{template}")],
                "querystring": [format!("b:{template}")],
            },
        },
    });
    let plugin: kinds::Plugin = serde_json::from_value(plugin).expect("it is a plugin");
    let Ok(compiled) = REGISTRY.compile(&plugin, &Arc::new(Directory::default())) else {
        return;
    };
    let mut exchange = exchange(header, query);
    let access = compiled.access(&mut exchange);
    assert!(matches!(
        access,
        Access::Ready(Flow::Continue | Flow::Respond(_))
    ));
    drop(access);
    let breaks = |byte: &u8| matches!(byte, b'\r' | b'\n' | 0);
    if let Some(value) = exchange.headers.get("x-b") {
        assert!(!value.as_bytes().iter().any(|byte| breaks(byte)));
    }
    let query = exchange.query.unwrap_or_default();
    assert!(
        !query.bytes().any(|byte| breaks(&byte) || byte == b' '),
        "{query}"
    );
});
