use proptest::prelude::*;
use serde_json::{Value, json};

use crate::Exchange;
use crate::testing::*;

fn transformed(config: Value, mut exchange: Exchange<'static>) -> Exchange<'static> {
    let plugin = compiled("request-transformer", config);
    assert!(access(plugin, &mut exchange).is_none());
    exchange
}

fn query(config: Value, target: &str) -> Option<String> {
    transformed(config, exchange("GET", target)).query
}

fn body(config: Value, kind: &str, body: &str) -> String {
    let exchange = transformed(config, with_body(exchange("POST", "/a"), kind, body));
    String::from_utf8(exchange.request_body.unwrap().to_vec()).unwrap()
}

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

#[test]
fn headers_are_changed() {
    let received = [("x-a", "A"), ("x-b", "1"), ("x-b", "2")];
    let changed =
        |config| transformed(config, with_headers(exchange("GET", "/a"), &received)).headers;
    let removed = changed(json!({"remove": {"headers": ["X-B", "x-nope"]}}));
    assert!(!removed.contains_key("x-b") && removed.contains_key("x-a"));
    let renamed = changed(json!({"rename": {"headers": ["x-b:x-a", "x-nope:x-q"]}}));
    assert_eq!(values(&renamed, "x-a"), ["1", "2"]);
    assert!(!renamed.contains_key("x-b") && !renamed.contains_key("x-q"));
    let same = changed(json!({"rename": {"headers": ["x-a:X-A"]}}));
    assert_eq!(values(&same, "x-a"), ["A"]);
    let replaced = changed(json!({"replace": {"headers": ["x-b:r", "x-nope:r"]}}));
    assert_eq!(values(&replaced, "x-b"), ["r"]);
    assert!(!replaced.contains_key("x-nope"));
    let added = changed(json!({"add": {"headers": ["x-a:no", "X-New:a:b", "x-e:"]}}));
    assert_eq!(values(&added, "x-a"), ["A"]);
    assert_eq!(values(&added, "x-new"), ["a:b"]);
    assert!(!added.contains_key("x-e"));
    let appended = changed(json!({"append": {"headers": ["x-b:3", "x-new:n"]}}));
    assert_eq!(values(&appended, "x-b"), ["1", "2", "3"]);
    assert_eq!(values(&appended, "x-new"), ["n"]);
}

#[test]
fn only_a_replacement_changes_the_host() {
    let host = |config| {
        let exchange = transformed(config, exchange("GET", "/a"));
        assert_eq!(values(&exchange.headers, "host"), ["example.test"]);
        exchange.upstream.host_header
    };
    let changed = Some("changed.test".to_owned());
    assert_eq!(
        host(json!({"replace": {"headers": ["Host:changed.test"]}})),
        changed
    );
    assert_eq!(
        host(json!({"add": {"headers": ["Host:changed.test"]}})),
        None
    );
    assert_eq!(host(json!({"remove": {"headers": ["host"]}})), None);
    assert_eq!(host(json!({"rename": {"headers": ["host:x-host"]}})), None);
}

#[test]
fn queries_are_changed() {
    let text = |text: &str| Some(text.to_owned());
    let add = json!({"add": {"querystring": ["a:new", "e:a b&c"]}});
    assert_eq!(
        query(add.clone(), "/a?a=1&b=2&a=4"),
        text("a=1&b=2&a=4&e=a%20b%26c")
    );
    assert_eq!(query(add, "/a"), text("a=new&e=a%20b%26c"));
    let remove = json!({"remove": {"querystring": ["a"]}});
    assert_eq!(query(remove.clone(), "/a?a&b"), text("b"));
    assert_eq!(query(remove, "/a?a=1"), None);
    let all = json!({
        "remove": {"querystring": ["a"]}, "rename": {"querystring": ["b:a"]},
        "replace": {"querystring": ["a:r"]}, "add": {"querystring": ["a:x", "d:d"]},
        "append": {"querystring": ["a:app"]},
    });
    assert_eq!(
        query(all.clone(), "/a?a=1&b=2&c=3&a=4"),
        text("a=r&a=app&c=3&d=d")
    );
    assert_eq!(query(all, "/a"), text("a=x&a=app&d=d"));
    let headers_only = json!({"add": {"headers": ["a:b"]}});
    assert_eq!(query(headers_only, "/a?a=%2f+"), text("a=%2f+"));
}

#[test]
fn json_bodies_are_changed() {
    let changed = |config, body: &str| -> Value {
        serde_json::from_str(&super::tests::body(config, JSON, body)).unwrap()
    };
    let add = json!({"add": {"body": ["a:new", "z:zz"]}});
    let expected = json!({"a": "1", "b": 2, "z": "zz"});
    assert_eq!(changed(add.clone(), r#"{"a":"1","b":2}"#), expected);
    assert_eq!(changed(add.clone(), ""), json!({"a": "new", "z": "zz"}));
    assert_eq!(body(add.clone(), JSON, "notjson"), "notjson");
    assert_eq!(body(add, JSON, "[1]"), "[1]");
    let append = json!({"append": {"body": ["a:new", "z:zz"]}});
    let expected = json!({"a": ["1", "new"], "z": ["zz"]});
    assert_eq!(changed(append, r#"{"a":"1"}"#), expected);
    let rename = json!({"rename": {"body": ["a:z", "nope:q"]}});
    let renamed = changed(rename, r#"{"a":{"n":[1,2]},"b":2}"#);
    assert_eq!(renamed, json!({"z": {"n": [1, 2]}, "b": 2}));
    let dots = json!({"replace": {"body": ["a.b:new"]}, "remove": {"body": ["c.d"]}});
    let replaced = changed(dots, r#"{"a":{"b":1},"c":{"d":2},"a.b":0}"#);
    assert_eq!(
        replaced,
        json!({"a": {"b": 1}, "c": {"d": 2}, "a.b": "new"})
    );
}

#[test]
fn forms_are_changed() {
    let add = json!({"add": {"body": ["a:new", "z:zz"]}});
    assert_eq!(body(add.clone(), FORM, "a=1&b=2"), "a=1&b=2&z=zz");
    assert_eq!(body(add.clone(), "text/plain", "a=1"), "a=1");
    let append = json!({"append": {"body": ["a:new", "z:zz"]}});
    assert_eq!(body(append.clone(), FORM, "a=1&b=2"), "a=1&a=new&b=2&z=zz");

    let multipart = "multipart/form-data; boundary=B";
    let part = |name: &str, value: &str| {
        format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let received = part("a", "1") + &part("b", "2") + "--B--\r\n";
    let added = part("a", "1") + &part("b", "2") + &part("z", "zz") + "--B--\r\n";
    assert_eq!(body(add, multipart, &received), added);
    let rename = json!({"rename": {"body": ["a:z"]}, "replace": {"body": ["b:3"]}});
    let renamed = part("z", "1") + &part("b", "3") + "--B--\r\n";
    assert_eq!(body(rename, multipart, &received), renamed);
    assert_eq!(body(append, multipart, &received), received);
}

#[test]
fn a_changed_body_is_framed_anew() {
    let config = json!({"add": {"body": ["k:v"]}});
    let chunked = with_headers(exchange("POST", "/a"), &[("transfer-encoding", "chunked")]);
    let exchange = transformed(config, with_body(chunked, JSON, "{}"));
    assert!(!exchange.headers.contains_key("transfer-encoding"));
    assert_eq!(values(&exchange.headers, "content-length"), ["9"]);
}

#[test]
fn bodies_are_read_only_where_they_are_changed() {
    let reads = |config| {
        compiled("request-transformer", config)
            .phases()
            .request_body
    };
    assert!(!reads(
        json!({"add": {"headers": ["a:b"]}, "http_method": "POST"})
    ));
    assert!(reads(json!({"add": {"body": ["a:b"]}})));
    assert!(reads(json!({"http_method": "GET"})));

    let wants = |config, exchange: &Exchange<'_>| {
        compiled("request-transformer", config).wants_request_body(exchange)
    };
    let plain = with_body(exchange("POST", "/a"), "text/plain", "{}");
    let change = json!({"body": ["a:b"]});
    assert!(!wants(json!({"add": change}), &plain));
    assert!(wants(
        json!({"add": change}),
        &with_body(exchange("POST", "/a"), JSON, "{}")
    ));
    let typed = json!({"add": change, "replace": {"headers": ["content-type:application/json"]}});
    assert!(wants(typed, &plain));
}

#[test]
fn a_method_without_a_body_gets_the_fields_of_a_form_as_arguments() {
    let config = json!({"http_method": "GET"});
    let sent = with_body(exchange("POST", "/a?b=1"), FORM, "a=1&b=2");
    let changed = transformed(config.clone(), sent);
    assert_eq!(changed.method, "GET");
    assert_eq!(changed.query.as_deref(), Some("b=1&b=2&a=1"));
    let sent = with_body(exchange("POST", "/a"), JSON, "{\"b\":2}");
    assert_eq!(transformed(config, sent).query, None);
    let put = transformed(json!({"http_method": "PUT"}), exchange("GET", "/a?x=1"));
    assert_eq!(
        (put.method.as_str(), put.query.as_deref()),
        ("PUT", Some("x=1"))
    );
}

#[test]
fn the_path_is_replaced() {
    let path = |uri: &str, target: &str| {
        let config = json!({"replace": {"uri": uri}});
        let mut exchange = exchange("GET", target);
        exchange.captures = vec![("1".to_owned(), "b c?".to_owned())];
        transformed(config, exchange).upstream.path
    };
    assert_eq!(path("/other/path", "/a/x?q=1"), "/other/path");
    assert_eq!(path("/x/$(uri_captures[1])/%2f", "/a"), "/x/b%20c%3F/%2f");

    let plugin = compiled(
        "request-transformer",
        json!({"replace": {"uri": "$(headers.none)"}}),
    );
    let response = access(plugin, &mut exchange("GET", "/a")).unwrap();
    assert_eq!(response.status, 500);
}

#[test]
fn templates_see_the_request_as_it_came() {
    let config = json!({
        "remove": {"headers": ["x-b"]},
        "replace": {"headers": ["x-a:$(headers['x-b'])"]},
        "add": {"headers": ["x-two:$(headers.x_a)-$(headers['x-b'])"], "querystring": ["h:$(query_params.q)!"]},
    });
    let received = with_headers(exchange("GET", "/a?q=Q"), &[("x-a", "A"), ("x-b", "B")]);
    let changed = transformed(config, received);
    assert_eq!(values(&changed.headers, "x-a"), ["B"]);
    assert_eq!(values(&changed.headers, "x-two"), ["A-B"]);
    assert_eq!(changed.query.as_deref(), Some("q=Q&h=Q!"));
}

#[test]
fn a_header_is_not_set_to_what_it_cannot_hold() {
    let config = json!({"add": {"headers": ["x-q:$(query_params.q)"]}});
    let changed = transformed(config, exchange("GET", "/a?q=a%0d%0ax-evil:1"));
    assert!(!changed.headers.contains_key("x-q"));
}

#[test]
fn settings_are_completed_and_checked() {
    let config = validated("request-transformer", json!({"add": {"headers": ["a:b"]}})).unwrap();
    let none = json!({"body": [], "headers": [], "querystring": []});
    let expected = json!({
        "http_method": null, "remove": none, "rename": none, "append": none,
        "replace": {"body": [], "headers": [], "querystring": [], "uri": null},
        "add": {"body": [], "headers": ["a:b"], "querystring": []},
    });
    assert_eq!(config, expected);
    compiled("request-transformer", config);

    let problem = |kind: &str, part: &str, entry: &str| {
        let config = json!({kind: {part: [entry]}});
        let error = validated("request-transformer", config).unwrap_err();
        error["fields"]["config"][kind][part][0]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(problem("add", "headers", "a"), "invalid value: a");
    assert_eq!(
        problem("remove", "headers", "a b"),
        "'a b' is not a valid header"
    );
    assert_eq!(
        problem("rename", "headers", "a:b c"),
        "'b c' is not a valid header"
    );
    assert_eq!(problem("add", "querystring", "a"), "key 'a' has no value");
    let template = problem("add", "body", "a:$(x.y)");
    assert!(
        template.starts_with("value '$(x.y)' is not in supported format, error:"),
        "{template}"
    );
}

#[test]
fn a_wrong_template_is_named() {
    let message = refused(
        "request-transformer",
        json!({"add": {"headers": ["a:$(os.time())"]}}),
    );
    assert!(
        message.contains("config.add.headers: value '$(os.time())'"),
        "{message}"
    );
    assert!(message.contains("unknown name 'os'"), "{message}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_request_makes_it_panic(
        query in "[a-c=&%+0-9]{0,24}",
        kind in proptest::sample::select(vec![FORM, JSON, "multipart/form-data; boundary=B", "x"]),
        sent in "[a-c=&%+\\[\\]{}:\"\r\n-B,]{0,32}",
    ) {
        let entries = ["a:$(query_params.b)", "b:c", "c:%$(headers.x)"];
        let change = json!({"body": entries, "querystring": entries, "headers": entries});
        let config = json!({
            "http_method": "GET", "remove": {"body": ["c"], "querystring": ["b"]},
            "rename": {"body": ["a:b"], "querystring": ["a:b"]},
            "replace": change, "add": change, "append": change,
        });
        let target = format!("/a?{query}");
        transformed(config, with_body(exchange("POST", &target), kind, &sent));
    }
}
