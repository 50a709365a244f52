//! What clients are told when something is wrong.

use keelgate_proxy::{ErrorTemplate, ErrorTemplates};
use serde_json::{Value, json};

use crate::support::{Gateway, SERVICE, config, echo, nobody, upstream, with_service};

fn status_of(gateway: &Gateway, request: &str) -> u16 {
    gateway.ask(request).status
}

#[test]
fn no_route_is_told_in_json_with_the_request_id() {
    let gateway = Gateway::start(json!({}));
    let response = gateway.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(response.status, 404);
    let body: Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(body["message"], "no Route matched with those values");
    assert_eq!(
        body["request_id"],
        response.header("X-Kong-Request-Id").unwrap()
    );
    assert_eq!(response.header("Server"), Some("keelgate/0.1.0"));
    assert!(response.header("X-Kong-Response-Latency").is_some());
    assert!(response.header("Date").is_some());
    assert_eq!(response.header("Via"), None);
}

#[test]
fn failures_of_the_upstream_have_their_statuses() {
    let refused = Gateway::start(config(nobody()));
    let response = refused.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(response.status, 502);
    assert!(response.head.starts_with("HTTP/1.1 502 Bad Gateway"));
    assert_eq!(
        response.header("Content-Type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(response.header("Connection"), Some("keep-alive"));
    assert!(response.header("Via").is_some());
    assert!(
        response
            .text()
            .starts_with("An invalid response was received from the upstream server\nrequest_id: ")
    );

    let (silent, _) = upstream(|mut client, _| {
        client.request();
        client.is_closed();
    });
    let mut service = config(silent);
    service["services"][0]["read_timeout"] = 50.into();
    service["services"][0]["retries"] = 0.into();
    let slow = Gateway::start(service);
    let response = slow.ask("GET / HTTP/1.1\r\nHost: h\r\nAccept: text/html\r\n\r\n");
    assert!(response.head.starts_with("HTTP/1.1 504 Gateway Time-out"));
    assert_eq!(
        response.header("Content-Type"),
        Some("text/html; charset=utf-8")
    );

    let (garbage, _) = upstream(|mut client, _| {
        client.request();
        client.send("this is not an http answer\r\n\r\n");
    });
    let gateway = Gateway::start(config(garbage));
    assert_eq!(
        status_of(&gateway, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"),
        502
    );
}

#[test]
fn a_route_without_service_and_a_name_without_address_are_503() {
    let mut lonely = config(nobody());
    lonely["routes"][0]["service"] = Value::Null;
    let response = Gateway::start(lonely).ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(response.status, 503);
    assert!(
        response
            .text()
            .contains("no Service found with those values")
    );

    let unknown = with_service(json!({
        "id": SERVICE, "protocol": "http", "host": "nowhere.invalid", "port": 80,
    }));
    let gateway = Gateway::with(
        unknown,
        |settings| settings.dns.servers = vec![nobody()],
        |_| None,
    );
    let response = gateway.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(response.status, 503);
    assert!(response.text().contains("name resolution failed"));
}

#[test]
fn requests_that_could_be_read_twice_are_refused_and_their_connection_closed() {
    let gateway = Gateway::start(config(echo()));
    for lines in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5\r\nContent-Length: 5",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Content-Length: +5",
        "Host: other",
    ] {
        let mut client = gateway.connect();
        client.send(&format!(
            "POST / HTTP/1.1\r\nHost: h\r\n{lines}\r\n\r\nhello"
        ));
        let response = client.response(false);
        assert_eq!(response.status, 400, "{lines}");
        assert_eq!(response.header("Connection"), Some("close"));
        assert!(response.text().starts_with("Bad request\nrequest_id: "));
        assert!(client.is_closed());
    }
}

#[test]
fn what_is_not_http_has_its_own_statuses() {
    let gateway = Gateway::start(config(echo()));
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET x HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("get / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /../x HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("TRACE / HTTP/1.1\r\nHost: h\r\n\r\n", 405),
        ("CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505),
        (
            "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n",
            501,
        ),
    ] {
        assert_eq!(status_of(&gateway, request), status, "{request}");
    }
    let long = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(9000));
    assert_eq!(status_of(&gateway, &long), 414);
    let long = format!(
        "GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n",
        "x".repeat(9000)
    );
    let response = gateway.ask(&long);
    assert_eq!(response.status, 400);
    assert!(
        response
            .text()
            .starts_with("Request header or cookie too large")
    );
}

#[test]
fn a_broken_chunk_is_the_clients_fault() {
    let gateway = Gateway::start(config(echo()));
    let start = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(
        status_of(&gateway, &format!("{start}zz\r\nhello\r\n0\r\n\r\n")),
        400
    );
}

#[test]
fn a_body_longer_than_the_limit_is_refused() {
    let gateway = Gateway::with(
        config(echo()),
        |settings| settings.client.body = Some(10),
        |_| None,
    );
    let told = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\n";
    assert_eq!(status_of(&gateway, told), 413);
    let chunked = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n0\r\n\r\n";
    assert_eq!(status_of(&gateway, chunked), 413);
}

#[test]
fn https_only_routes_ask_for_https() {
    let mut only = config(nobody());
    only["routes"][0]["protocols"] = json!(["https"]);
    let response = Gateway::start(only.clone()).ask("GET /x?y HTTP/1.1\r\nHost: h:9\r\n\r\n");
    assert_eq!(response.status, 426);
    assert_eq!(response.header("Upgrade"), Some("TLS/1.2, HTTP/1.1"));
    assert!(response.head.contains("\r\nConnection: Upgrade"));
    only["routes"][0]["https_redirect_status_code"] = 301.into();
    let response = Gateway::start(only).ask("GET /x?y HTTP/1.1\r\nHost: h:9\r\n\r\n");
    assert_eq!(response.status, 301);
    assert_eq!(response.header("Location"), Some("https://h/x?y"));
}

/// A gateway with a template of its own for each form, before an upstream that is away.
fn templated() -> Gateway {
    let mut config = config(nobody());
    config["routes"][0]["paths"] = json!(["/away"]);
    let template = |form: &str| Some(ErrorTemplate::parse(&format!("{form}: %s (%s)")).unwrap());
    Gateway::with(
        config,
        |settings| {
            settings.listen[0].http2 = true;
            settings.error_templates = ErrorTemplates {
                html: template("html"),
                json: template("json"),
                xml: template("xml"),
                plain: template("plain"),
            };
        },
        |_| None,
    )
}

const FORMS: [(&str, &str, &str); 4] = [
    ("text/html", "html", "text/html; charset=utf-8"),
    (
        "application/json",
        "json",
        "application/json; charset=utf-8",
    ),
    ("application/xml", "xml", "application/xml; charset=utf-8"),
    ("text/plain", "plain", "text/plain; charset=utf-8"),
];

#[test]
fn templates_stand_in_for_every_form_of_page() {
    let gateway = templated();
    for (path, status, message) in [
        ("/nowhere", 404, "no Route matched with those values"),
        (
            "/away",
            502,
            "An invalid response was received from the upstream server",
        ),
        ("/away/%zz", 400, "Bad request"),
    ] {
        for (accept, form, content_type) in FORMS {
            let response = gateway.ask(&format!(
                "GET {path} HTTP/1.1\r\nHost: h\r\nAccept: {accept}\r\n\r\n"
            ));
            assert_eq!(response.status, status);
            assert_eq!(response.header("Content-Type"), Some(content_type));
            let id = response.header("X-Kong-Request-Id").unwrap();
            assert_eq!(
                response.text(),
                format!("{form}: {message} ({id})"),
                "{path}"
            );
        }
    }
}

#[test]
fn templates_stand_in_for_what_refuses_a_stream() {
    let gateway = templated();
    for (accept, form, content_type) in FORMS {
        let trace = http::Request::builder()
            .method("TRACE")
            .uri("http://h.test/")
            .header("accept", accept)
            .body(http_body_util::Full::default())
            .unwrap();
        let (parts, body) = crate::http2::ask(&gateway, vec![trace]).remove(0);
        assert_eq!(parts.status, 405);
        assert_eq!(parts.headers["content-type"], content_type);
        let id = parts.headers["x-kong-request-id"].to_str().unwrap();
        let page = String::from_utf8(body.to_vec()).unwrap();
        assert!(page.starts_with(&format!("{form}: ")), "{page}");
        assert!(page.ends_with(&format!("({id})")), "{page}");
    }
}
