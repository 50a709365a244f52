//! Requests that targets hand to plugins.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Instant, UNIX_EPOCH};

use http::{HeaderValue, Method, StatusCode, Version};
use keelgate_entities::kinds::Protocol;
use keelgate_plugins::exchange::{Client, MadeBy, Outcome, ResponseHead, Times, Upstream};
use keelgate_plugins::{Exchange, HeaderMap};

/// A request with one header, if its value can be one.
pub(crate) fn exchange<'r>(name: &'static str, header: &[u8], query: &str) -> Exchange<'r> {
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(header) {
        headers.insert(name, value);
    }
    Exchange {
        request_id: "0123456789abcdef0123456789abcdef".to_owned(),
        client: Client {
            peer: SocketAddr::from(([192, 0, 2, 7], 40_000)),
            ip: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
            local: SocketAddr::from(([127, 0, 0, 1], 8000)),
            sni: None,
            tls: false,
            session: None,
            certificate: None,
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
        written: keelgate_plugins::Places::default(),
        captures: vec![("1".to_owned(), "seg".to_owned())],
        consumer: None,
        credential: None,
        response: ResponseHead {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            made_by: MadeBy::Upstream,
        },
        trailers: None,
        shared: vec![("foo".to_owned(), "bar".to_owned())],
        kept: Vec::new(),
        times: Times {
            received_at: UNIX_EPOCH,
            started: Instant::now(),
            upstream: None,
        },
        outcome: Outcome::default(),
    }
}
