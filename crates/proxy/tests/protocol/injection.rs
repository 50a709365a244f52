//! Whatever plugins say, each message stays one message.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::{HeaderValue, Method, StatusCode};
use keelgate_entities::kinds;
use keelgate_plugins::response::Body;
use keelgate_plugins::{Access, Exchange, Flow, Phases, Plugin, Response as Answer};
use serde_json::{Value, json};

use crate::strict;
use crate::support::{Gateway, config, upstream};

/// Says what its name says.
struct Saying(String);

impl Plugin for Saying {
    fn phases(&self) -> Phases {
        Phases {
            access: true,
            header_filter: true,
            ..Phases::default()
        }
    }

    fn access<'a, 'r: 'a>(&'r self, exchange: &'a mut Exchange<'r>) -> Access<'a> {
        let answer = |status: u16| {
            let mut answer = Answer::message(StatusCode::from_u16(status).unwrap(), "no");
            answer.body = Body::Bytes("not to be sent".into());
            Access::Ready(Flow::Respond(Box::new(answer)))
        };
        match self.0.as_str() {
            "get-for-head" => exchange.method = Method::GET,
            "lines-upstream" => {
                let text = || " b\r\nX-Evil: 1\r\n\r\n\u{e9}\0";
                exchange.upstream.path = format!("/a{}", text());
                exchange.query = Some(format!("q{}", text()));
                exchange.upstream.host_header = Some(format!("h{}", text()));
            }
            "framing-upstream" => {
                for (name, value) in [
                    ("content-length", "99"),
                    ("transfer-encoding", "chunked"),
                    ("connection", "upgrade, x-y"),
                    ("upgrade", "h2c"),
                    ("host", "evil"),
                    ("expect", "100-continue"),
                ] {
                    let value = HeaderValue::from_static(value);
                    exchange.headers.insert(name, value);
                }
            }
            "answer-100" => return answer(100),
            "answer-101" => return answer(101),
            "answer-204" => return answer(204),
            "answer-304" => return answer(304),
            _ => {}
        }
        Access::Ready(Flow::Continue)
    }

    fn header_filter<'r>(&'r self, exchange: &mut Exchange<'r>) {
        let response = &mut exchange.response;
        let set = |status| StatusCode::from_u16(status).unwrap();
        match self.0.as_str() {
            "status-100" => response.status = set(100),
            "status-101" => response.status = set(101),
            "status-204" => response.status = set(204),
            "status-304" => response.status = set(304),
            "framing-downstream" => {
                for (name, value) in [
                    ("content-length", "99"),
                    ("transfer-encoding", "gzip"),
                    ("connection", "upgrade"),
                    ("keep-alive", "9"),
                ] {
                    let value = HeaderValue::from_static(value);
                    response.headers.insert(name, value);
                }
            }
            _ => {}
        }
    }
}

fn factory(plugin: &kinds::Plugin) -> Option<Arc<dyn Plugin>> {
    Some(Arc::new(Saying(plugin.name.clone())))
}

fn gateway(mut config: Value, plugin: &str) -> Gateway {
    config["plugins"] = json!([{
        "id": "00000000-0000-4000-8000-000000000051", "name": plugin, "protocols": ["http"],
    }]);
    Gateway::with(config, |settings| settings.workers = 1, factory)
}

const GET: &str = "GET /p HTTP/1.1\r\nHost: h\r\n\r\n";

#[test]
fn no_text_becomes_a_line_towards_upstreams() {
    let (address, seen) = strict::start();
    assert_eq!(
        gateway(config(address), "lines-upstream").ask(GET).status,
        200
    );
    let arrived = seen.recv().unwrap().unwrap();
    assert_eq!(arrived.values("x-evil").next(), None);
    let text = "%20b%0D%0AX-Evil:%201%0D%0A%0D%0A\u{e9}%00";
    assert_eq!(arrived.target, format!("/a{text}?q{text}"));
    assert_eq!(
        arrived.values("host").collect::<Vec<_>>(),
        [format!("h{text}")]
    );
}

#[test]
fn no_header_becomes_framing_towards_upstreams() {
    let (address, seen) = strict::start();
    let gateway = gateway(config(address), "framing-upstream");
    let request = "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(gateway.ask(request).status, 200);
    let arrived = seen.recv().unwrap().unwrap();
    assert_eq!(arrived.body, b"hello");
    for (name, values) in [
        ("content-length", &["5"][..]),
        ("transfer-encoding", &[]),
        ("connection", &["keep-alive"]),
        ("upgrade", &[]),
        ("host", &[&address.to_string()]),
        ("expect", &[]),
    ] {
        assert_eq!(arrived.values(name).collect::<Vec<_>>(), values, "{name}");
    }
}

/// An upstream that says hello in chunks or with a length.
fn hello(framing: &'static str) -> Value {
    let (address, _) = upstream(move |mut client, _| {
        while client.request().is_some() {
            client.send(&format!("HTTP/1.1 200 OK\r\n{framing}"));
        }
    });
    config(address)
}

const HELLO: [&str; 2] = [
    "Content-Length: 5\r\n\r\nhello",
    "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
];

#[test]
fn no_header_becomes_framing_towards_clients() {
    for framing in HELLO {
        let gateway = gateway(hello(framing), "framing-downstream");
        let mut client = gateway.connect();
        for _ in 0..2 {
            client.send(GET);
            let response = client.response(false);
            assert_eq!((response.text().as_str(), response.cut), ("hello", false));
            assert_eq!(response.header("Connection"), Some("keep-alive"));
            assert_eq!(response.header("Keep-Alive"), None);
        }
    }
}

#[test]
fn a_status_without_body_has_none() {
    for status in [204, 304] {
        for framing in HELLO {
            let gateway = gateway(hello(framing), &format!("status-{status}"));
            let mut client = gateway.connect();
            for _ in 0..2 {
                client.send(GET);
                assert_eq!(client.response(false).status, status);
            }
        }
        let gateway = gateway(hello(HELLO[0]), &format!("answer-{status}"));
        let mut client = gateway.connect();
        for _ in 0..2 {
            client.send(GET);
            assert_eq!(client.response(false).status, status);
        }
    }
}

#[test]
fn a_status_that_is_not_final_ends_the_connection() {
    for plugin in ["status-100", "status-101", "answer-100", "answer-101"] {
        let gateway = gateway(hello(HELLO[0]), plugin);
        let mut client = gateway.connect();
        client.send(GET);
        assert!(client.is_closed(), "{plugin}");
    }
}

#[test]
fn a_response_that_was_not_read_to_its_end_ends_its_connection() {
    let (address, connections) = upstream(|mut client, number| {
        client.request().unwrap();
        if number > 0 {
            client.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext");
            client.is_closed();
            return;
        }
        // The body is late; whoever sent another request here would take it for the answer.
        client.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
        if !client.is_closed() {
            client.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
        }
    });
    let gateway = gateway(config(address), "get-for-head");
    let mut client = gateway.connect();
    client.send("HEAD /p HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(client.response(true).header("Content-Length"), Some("5"));
    client.send(GET);
    assert_eq!(client.response(false).text(), "next");
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}
