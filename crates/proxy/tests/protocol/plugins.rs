//! Plugins in the phases.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use keelgate_entities::kinds;
use keelgate_plugins::{Access, Exchange, Flow, Phases, Plugin, Response as Answer};
use serde_json::{Value, json};

use crate::support::{Gateway, config, echo, upstream};

/// Does what its name says.
struct Doing(String);

impl Plugin for Doing {
    fn phases(&self) -> Phases {
        Phases {
            certificate: false,
            rewrite: true,
            access: true,
            header_filter: true,
            body_filter: matches!(self.0.as_str(), "shout" | "shout-whole"),
            log: true,
            request_body: self.0 == "reverse-body",
        }
    }

    fn rewrite<'r>(&'r self, exchange: &mut Exchange<'r>) -> Flow {
        if self.0 == "rewrite" {
            exchange.raw_path = "/rewritten".to_owned();
        }
        Flow::Continue
    }

    fn access<'a, 'r: 'a>(&'r self, exchange: &'a mut Exchange<'r>) -> Access<'a> {
        match self.0.as_str() {
            "refuse" => Access::Ready(Flow::Respond(Box::new(Answer::message(
                StatusCode::FORBIDDEN,
                "no",
            )))),
            "wait" => Access::Pending(Box::pin(async {
                tokio::task::yield_now().await;
                exchange
                    .headers
                    .insert("x-waited", HeaderValue::from_static("1"));
                Flow::Continue
            })),
            "reverse-body" => {
                let mut body = exchange.request_body.take().unwrap().to_vec();
                body.reverse();
                exchange.request_body = Some(body.into());
                Access::Ready(Flow::Continue)
            }
            _ => Access::Ready(Flow::Continue),
        }
    }

    fn header_filter<'r>(&'r self, exchange: &mut Exchange<'r>) {
        let headers = &mut exchange.response.headers;
        headers.append("x-filtered", HeaderValue::from_str(&self.0).unwrap());
        if self.0 == "shout" {
            headers.remove("content-length");
        }
    }

    fn wants_whole_body(&self, _exchange: &Exchange<'_>) -> bool {
        self.0 == "shout-whole"
    }

    fn body_filter<'r>(&'r self, _exchange: &mut Exchange<'r>, piece: Bytes, last: bool) -> Bytes {
        let mut piece = piece.to_ascii_uppercase();
        if last {
            piece.push(b'!');
        }
        piece.into()
    }
}

fn factory(plugin: &kinds::Plugin) -> Option<Arc<dyn Plugin>> {
    Some(Arc::new(Doing(plugin.name.clone())))
}

fn gateway(config: Value, plugin: &str) -> Gateway {
    with_chain(config, &[plugin])
}

/// The plugins run in the order of their names.
fn with_chain(mut config: Value, plugins: &[&str]) -> Gateway {
    let plugins = (51..).zip(plugins).map(|(n, plugin)| {
        json!({
            "id": format!("00000000-0000-4000-8000-0000000000{n}"), "name": plugin,
            "protocols": ["http"],
        })
    });
    config["plugins"] = plugins.collect();
    Gateway::with(config, |_| {}, factory)
}

const GET: &str = "GET /p HTTP/1.1\r\nHost: h\r\n\r\n";

#[test]
fn a_global_plugin_rewrites_before_routing() {
    let seen = gateway(config(echo()), "rewrite").ask(GET).text();
    assert!(seen.starts_with("GET /rewritten HTTP/1.1"), "{seen}");
}

#[test]
fn a_plugin_may_answer_and_the_response_phases_still_run() {
    let response = gateway(config(echo()), "refuse").ask(GET);
    assert_eq!(response.status, 403);
    let body: Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(body["message"], "no");
    assert_eq!(response.header("X-Filtered"), Some("refuse"));
    assert!(response.header("X-Kong-Response-Latency").is_some());
}

#[test]
fn a_plugin_may_wait() {
    let seen = gateway(config(echo()), "wait").ask(GET).text();
    assert!(seen.contains("X-Waited: 1"));
}

#[test]
fn a_plugin_may_change_the_request_body() {
    let request =
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let seen = gateway(config(echo()), "reverse-body").ask(request).text();
    assert!(
        seen.contains("Content-Length: 3") && seen.ends_with("cba"),
        "{seen}"
    );
}

#[test]
fn who_is_refused_before_need_not_send_the_body() {
    let gateway = with_chain(config(echo()), &["refuse", "reverse-body"]);
    let head = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n";
    let response = gateway.ask(head);
    assert_eq!(response.status, 403);
    assert_eq!(response.header("X-Filtered"), Some("refuse"));
}

fn two_pieces() -> Value {
    let (address, _) = upstream(|mut client, _| {
        while client.request().is_some() {
            client.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc");
            client.send("def");
        }
    });
    config(address)
}

#[test]
fn a_plugin_may_change_the_response_body_in_pieces_or_whole() {
    let pieces = gateway(two_pieces(), "shout").ask(GET);
    assert_eq!(pieces.header("Transfer-Encoding"), Some("chunked"));
    assert_eq!(pieces.text(), "ABCDEF!");
    let whole = gateway(two_pieces(), "shout-whole").ask(GET);
    assert_eq!(whole.header("Content-Length"), Some("7"));
    assert_eq!(whole.text(), "ABCDEF!");
}

#[test]
fn global_plugins_see_requests_without_a_route() {
    let response = gateway(json!({}), "any").ask(GET);
    assert_eq!(response.status, 404);
    assert_eq!(response.header("X-Filtered"), Some("any"));
}
