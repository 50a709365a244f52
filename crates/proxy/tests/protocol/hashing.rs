//! Upstreams that choose a target by what a request says.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use keelgate_entities::kinds;
use keelgate_plugins::exchange::Credential;
use keelgate_plugins::{Access, Exchange, Flow, Phases, Plugin};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::balancing::balanced;
use crate::support::{Gateway, nobody, upstream};

/// Takes a client for the consumer, or for the holder of the credential, that it names.
struct Believes(Vec<kinds::Consumer>);

impl Plugin for Believes {
    fn phases(&self) -> Phases {
        Phases {
            access: true,
            ..Phases::default()
        }
    }

    fn access<'a, 'r: 'a>(&'r self, exchange: &'a mut Exchange<'r>) -> Access<'a> {
        let number = |exchange: &Exchange<'_>, name: &str| {
            let named = exchange.headers.get(name)?.to_str().ok()?;
            named.parse::<usize>().ok()
        };
        if let Some(consumer) = number(exchange, "consumer") {
            exchange.consumer = self.0.get(consumer);
        }
        if let Some(credential) = number(exchange, "credential") {
            let id = Uuid::from_u128(credential as u128);
            exchange.credential = Some(Credential { id });
        }
        Access::Ready(Flow::Continue)
    }
}

fn believing(_: &kinds::Plugin) -> Option<Arc<dyn Plugin>> {
    let consumer = |number: u128| {
        let consumer = json!({"id": Uuid::from_u128(number), "username": number.to_string()});
        serde_json::from_value(consumer).unwrap()
    };
    Some(Arc::new(Believes((1..=VALUES).map(consumer).collect())))
}

/// Different values that are tried; that all of them fall to one of two targets is not to be expected.
const VALUES: u128 = 24;

/// A target that tells its name, and sets cookies where it is asked to.
fn target(name: &'static str) -> SocketAddr {
    upstream(move |mut client, _| {
        while let Some(request) = client.request() {
            let lines = match request.head.starts_with("GET /cookies") {
                true => {
                    "Set-Cookie: a=1\r\nSet-Cookie: sticky=own; Path=/\r\nSet-Cookie: stickyb=2\r\n"
                }
                false => "",
            };
            client.send(&format!(
                "HTTP/1.1 200 OK\r\n{lines}Content-Length: 1\r\n\r\n{name}"
            ));
        }
    })
    .0
}

/// Two targets behind an upstream that hashes as `by` says.
fn hashing(by: &Value) -> Gateway {
    hashing_to(&[target("a"), target("b")], by)
}

fn hashing_to(targets: &[SocketAddr], by: &Value) -> Gateway {
    let mut entity = json!({"algorithm": "consistent-hashing"});
    let by = by.as_object().unwrap().clone();
    entity.as_object_mut().unwrap().extend(by);
    let mut config = balanced(targets, entity);
    config["routes"][0]["paths"] = json!(["/", "~/users/(?<user>[a-z0-9]+)$"]);
    config["plugins"] = json!([{
        "id": "00000000-0000-4000-8000-000000000051", "name": "believes", "protocols": ["http"],
    }]);
    Gateway::with(
        config,
        |settings| settings.trusted_ips = vec!["127.0.0.0/8".parse().unwrap()],
        believing,
    )
}

fn get(target: &str, lines: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: h\r\n{lines}\r\n")
}

/// Requests with one value go to one target, and values are spread over both.
fn assert_hashed(gateway: &Gateway, what: &str, request: impl Fn(u128) -> String) {
    let mut seen = BTreeSet::new();
    for value in 1..=VALUES {
        let named = gateway.ask(&request(value)).text();
        for _ in 0..3 {
            assert_eq!(gateway.ask(&request(value)).text(), named, "{what} {value}");
        }
        seen.insert(named);
    }
    assert_eq!(seen.len(), 2, "{what}");
}

/// An attribute, what it is called with, and a request that has it.
type Attribute = (&'static str, Option<&'static str>, fn(u128) -> String);

const ATTRIBUTES: [Attribute; 8] = [
    ("consumer", None, |value| {
        get("/", &format!("Consumer: {}\r\n", value - 1))
    }),
    ("consumer", None, |value| {
        get("/", &format!("Credential: {value}\r\n"))
    }),
    ("ip", None, |value| {
        get("/", &format!("X-Real-IP: 192.0.2.{value}\r\n"))
    }),
    ("header", Some("X-Key"), |value| {
        get("/", &format!("x-key: {value}\r\n"))
    }),
    ("cookie", Some("sticky"), |value| {
        get("/", &format!("Cookie: a=b; sticky={value}; c=d\r\n"))
    }),
    ("path", None, |value| {
        get(&format!("/p{value}?x={value}"), "")
    }),
    ("query_arg", Some("q"), |value| {
        get(&format!("/?x=1&q={value}&y=2"), "")
    }),
    ("uri_capture", Some("user"), |value| {
        get(&format!("/users/u{value}"), "")
    }),
];

#[test]
fn a_value_leads_to_its_target() {
    for (attribute, name, request) in ATTRIBUTES {
        let mut by = json!({"hash_on": attribute});
        if let Some(name) = name {
            by[format!("hash_on_{attribute}")] = name.into();
        }
        assert_hashed(&hashing(&by), attribute, request);
    }
}

#[test]
fn a_request_without_the_value_is_hashed_by_another() {
    for (attribute, name, request) in ATTRIBUTES {
        let mut by = json!({
            "hash_on": "header", "hash_on_header": "missing", "hash_fallback": attribute,
        });
        match (attribute, name) {
            ("cookie", Some(name)) => by["hash_on_cookie"] = name.into(),
            (_, Some(name)) => by[format!("hash_fallback_{attribute}")] = name.into(),
            _ => {}
        }
        assert_hashed(&hashing(&by), attribute, request);
    }
}

#[test]
fn a_request_with_nothing_to_hash_goes_to_some_target() {
    let by = json!({"hash_on": "header", "hash_on_header": "missing"});
    assert_eq!(hashing(&by).ask(&get("/", "")).status, 200);
}

#[test]
fn values_that_are_told_in_several_ways_are_the_same() {
    let by_header = hashing(&json!({"hash_on": "header", "hash_on_header": "x-key"}));
    let by_arg = hashing(&json!({"hash_on": "query_arg", "hash_on_query_arg": "q"}));
    for value in 1..=VALUES {
        let pairs = [
            (
                &by_header,
                get("/", &format!("X-Key: {value}, b\r\n")),
                get("/", &format!("X-Key: {value}\r\nX-KEY: b\r\n")),
            ),
            (
                &by_arg,
                get(&format!("/?q={value}&q=b"), ""),
                get(&format!("/?q=b&other&q={value}"), ""),
            ),
            (
                &by_arg,
                get(&format!("/?q=%2Fx+{value}"), ""),
                get(&format!("/?q=/x%20{value}"), ""),
            ),
        ];
        for (gateway, one, other) in pairs {
            let named = |request: &str| gateway.ask(request).text();
            assert_eq!(named(&one), named(&other), "{one}{other}");
        }
    }
}

fn sticky() -> Value {
    json!({"hash_on": "cookie", "hash_on_cookie": "sticky", "hash_on_cookie_path": "/p"})
}

#[test]
fn a_client_is_given_a_cookie_once_that_leads_back_to_its_target() {
    let gateway = hashing(&sticky());
    let mut seen = BTreeSet::new();
    for _ in 0..VALUES {
        let first = gateway.ask(&get("/", ""));
        let cookie = first.header("Set-Cookie").unwrap();
        let (pair, rest) = cookie.split_once(';').unwrap();
        assert_eq!(rest, " Path=/p; Same-Site=Lax; HttpOnly");
        let value = pair.strip_prefix("sticky=").unwrap();
        assert_eq!(Uuid::parse_str(value).unwrap().get_version_num(), 4);
        assert_eq!(value.len(), 36);
        for _ in 0..2 {
            let again = gateway.ask(&get("/", &format!("Cookie: {pair}\r\n")));
            assert_eq!(again.header("Set-Cookie"), None);
            assert_eq!(again.text(), first.text());
        }
        seen.insert(first.text());
    }
    assert_eq!(seen.len(), 2);
}

#[test]
fn a_cookie_of_that_name_from_the_upstream_gives_way() {
    let gateway = hashing(&sticky());
    let response = gateway.ask(&get("/cookies", ""));
    let cookies: Vec<&str> = response
        .head
        .lines()
        .filter_map(|line| line.strip_prefix("Set-Cookie: "))
        .collect();
    let [first, own, last] = cookies[..] else {
        panic!("{cookies:?}");
    };
    assert_eq!((first, last), ("a=1", "stickyb=2"));
    let (pair, _) = own.split_once("; Path=/p;").unwrap();
    assert_ne!(pair, "sticky=own");
    let again = gateway.ask(&get("/", &format!("Cookie: {pair}\r\n")));
    assert_eq!(again.text(), response.text());
    // Who has one keeps it, unless the upstream says otherwise.
    let kept = gateway.ask(&get("/cookies", &format!("Cookie: {pair}\r\n")));
    assert!(kept.head.contains("Set-Cookie: sticky=own; Path=/\r\n"));
}

#[test]
fn an_answer_of_no_target_gives_no_cookie() {
    let mut checked = sticky();
    checked["healthchecks"] = json!({"passive": {"unhealthy": {"tcp_failures": 1}}});
    let gateway = hashing_to(&[nobody()], &checked);
    // A failure of the target is an answer for it: the cookie names who is to answer next.
    let failed = gateway.ask(&get("/", ""));
    let without = gateway.ask(&get("/", ""));
    assert_eq!(without.status, 503);
    assert_eq!(without.header("Set-Cookie"), None);
    assert!(failed.header("Set-Cookie").is_some(), "{}", failed.head);
}
