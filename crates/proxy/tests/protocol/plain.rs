//! A plain request, and what is said about it on both sides.

use keelgate_proxy::RequestDebug;

use crate::support::{Gateway, ROUTE, Response, SERVICE, config, echo, upstream};

#[test]
fn a_request_reaches_the_upstream_with_its_forwarding_headers() {
    let gateway = Gateway::start(config(echo()));
    let response = gateway.ask("GET /a/b?q=1 HTTP/1.1\r\nHost: A.test:8080\r\n\r\n");
    assert_eq!(response.status, 200);
    let seen = response.text();
    let port = gateway.address().port();
    for line in [
        "GET /a/b?q=1 HTTP/1.1",
        "X-Forwarded-For: 127.0.0.1",
        "X-Forwarded-Proto: http",
        "X-Forwarded-Host: a.test",
        &format!("X-Forwarded-Port: {port}"),
        "X-Forwarded-Path: /a/b",
        "X-Real-IP: 127.0.0.1",
        "Via: 1.1 keelgate/0.1.0",
        "Connection: keep-alive",
    ] {
        assert!(seen.lines().any(|own| own == line), "{line} in {seen}");
    }
    assert!(!seen.contains("X-Forwarded-Prefix"));
    let id = response.header("X-Kong-Request-Id").unwrap();
    assert_eq!(id.len(), 32);
    assert!(seen.contains(&format!("X-Kong-Request-Id: {id}")));
    assert_eq!(response.header("Via"), Some("1.1 keelgate/0.1.0"));
    assert!(response.header("X-Kong-Proxy-Latency").is_some());
    assert!(response.header("X-Kong-Upstream-Latency").is_some());
}

#[test]
fn names_keep_the_spelling_of_their_sender() {
    let (address, _) = upstream(|mut client, _| {
        while let Some(request) = client.request() {
            client.send(&format!(
                "HTTP/1.1 200 Fine By Me\r\nETag: x\r\nx-oDD: {}\r\nContent-Length: 0\r\n\r\n",
                request.head.contains("x-UPPER-lower: v")
            ));
        }
    });
    let gateway = Gateway::start(config(address));
    let response = gateway.ask("GET / HTTP/1.1\r\nHost: h\r\nx-UPPER-lower: v\r\n\r\n");
    assert!(response.head.starts_with("HTTP/1.1 200 Fine By Me\r\n"));
    assert!(response.head.contains("\r\nETag: x"));
    assert!(
        response.head.contains("\r\nx-oDD: true"),
        "{}",
        response.head
    );
}

#[test]
fn requests_share_a_connection_on_both_sides() {
    let (address, connections) = upstream(|mut client, _| {
        while client.request().is_some() {
            client.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let gateway = Gateway::start(config(address));
    let mut client = gateway.connect();
    for _ in 0..5 {
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        let response = client.response(false);
        assert_eq!(response.header("Connection"), Some("keep-alive"));
        assert_eq!(response.text(), "ok");
    }
    // Two at once: answered in order.
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(client.response(false).text(), "ok");
    assert_eq!(client.response(false).text(), "ok");
    assert_eq!(connections.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[test]
fn an_old_client_is_closed_on_unless_it_asks() {
    let gateway = Gateway::start(config(echo()));
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.response(false).header("Connection"), Some("close"));
    assert!(client.is_closed());
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(
        client.response(false).header("Connection"),
        Some("keep-alive")
    );
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.response(false).status, 200);
}

#[test]
fn headers_for_one_hop_go_no_further() {
    let (address, _) = upstream(|mut client, _| {
        while let Some(request) = client.request() {
            let text = request.head;
            client.send(&format!(
                "HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nTrailer: T\r\n\
                 Content-Length: {}\r\n\r\n{text}",
                text.len()
            ));
        }
    });
    let gateway = Gateway::start(config(address));
    let response = gateway.ask(
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: X-Mine, keep-alive\r\nX-Mine: 1\r\nTE: gzip, trailers\r\n\
         Proxy-Connection: x\r\nProxy: x\r\nUpgrade: h2c\r\nExpect: nonsense\r\n\r\n",
    );
    let seen = response.text();
    for absent in ["X-Mine", "Proxy", "Upgrade", "Expect"] {
        assert!(!seen.contains(absent), "{absent} in {seen}");
    }
    assert!(seen.contains("TE: trailers\r\n"));
    for absent in ["X-Hop", "Keep-Alive", "Trailer"] {
        assert_eq!(response.header(absent), None, "{absent}");
    }
}

#[test]
fn a_head_request_tells_a_length_and_sends_no_body() {
    let (address, _) = upstream(|mut client, _| {
        while client.request().is_some() {
            client.send("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n");
        }
    });
    let gateway = Gateway::start(config(address));
    let mut client = gateway.connect();
    for _ in 0..2 {
        client.send("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
        let response = client.response(true);
        assert_eq!(response.header("Content-Length"), Some("7"));
    }
}

#[test]
fn whoever_may_ask_is_told_the_route() {
    let gateway = Gateway::with(
        config(echo()),
        |settings| settings.allow_debug_header = true,
        |_| None,
    );
    let response = gateway.ask("GET / HTTP/1.1\r\nHost: h\r\nKong-Debug: 1\r\n\r\n");
    assert_eq!(response.header("Kong-Route-Name"), Some("r"));
    assert_eq!(response.header("Kong-Service-Name"), Some("s"));
    assert_eq!(response.header("Kong-Route-Id"), Some(ROUTE));
    assert_eq!(response.header("Kong-Service-Id"), Some(SERVICE));
    let asked = "GET /nowhere HTTP/1.1\r\nHost: h\r\nKong-Debug: 1\r\n\r\n";
    let mut somewhere = config(echo());
    somewhere["routes"][0]["paths"] = serde_json::json!(["/somewhere"]);
    gateway.swap(somewhere);
    let nowhere = gateway.ask(asked);
    assert_eq!(nowhere.status, 404);
    assert_is_not_told(&nowhere);
}

#[test]
fn whoever_does_not_ask_or_may_not_ask_is_not_told_the_route() {
    for (may, asks) in [(true, ""), (false, "Kong-Debug: 1\r\n")] {
        let gateway = Gateway::with(
            config(echo()),
            |settings| settings.allow_debug_header = may,
            |_| None,
        );
        let response = gateway.ask(&format!("GET / HTTP/1.1\r\nHost: h\r\n{asks}\r\n"));
        assert_eq!(response.status, 200);
        assert_is_not_told(&response);
    }
}

fn assert_is_not_told(response: &Response) {
    for name in [
        "Kong-Route-Name",
        "Kong-Route-Id",
        "Kong-Service-Name",
        "Kong-Service-Id",
    ] {
        assert_eq!(response.header(name), None, "{name}");
    }
}

#[test]
fn a_request_that_may_ask_is_told_where_its_time_went() {
    let start = |token: Option<&str>| {
        let request_debug = token.map(|token| RequestDebug {
            token: token.to_owned(),
        });
        Gateway::with(
            config(echo()),
            |settings| {
                settings.request_debug = request_debug;
                settings.trusted_ips = vec!["127.0.0.1/32".parse().unwrap()];
            },
            |_| None,
        )
    };
    let output = |gateway: &Gateway, headers: &str| {
        let response = gateway.ask(&format!("GET / HTTP/1.1\r\nHost: h\r\n{headers}\r\n"));
        assert_eq!(response.status, 200);
        let passed = response.text().to_ascii_lowercase();
        let output = response.header("X-Kong-Request-Debug-Output");
        let output: Option<serde_json::Value> =
            output.map(|output| serde_json::from_str(output).unwrap());
        (output, passed.contains("x-kong-request-debug"))
    };
    let gateway = start(Some("open sesame"));
    let ask = "X-Kong-Request-Debug: *\r\n";
    let (told, passed) = output(&gateway, ask);
    let told = told.unwrap();
    assert!(!passed, "what was asked with goes no further");
    assert_eq!(told["request_id"].as_str().unwrap().len(), 32);
    for part in ["rewrite", "access", "balancer", "header_filter", "upstream"] {
        assert!(told["child"][part]["total_time"].is_number(), "{part}");
    }
    for part in ["router", "plugins"] {
        assert!(told["child"]["access"]["child"][part]["total_time"].is_number());
    }
    assert!(told["total_time_without_upstream"].is_number());

    let away = format!("{ask}X-Real-IP: 192.0.2.1\r\n");
    assert_eq!(output(&gateway, &away), (None, false));
    let wrong = format!("{away}X-Kong-Request-Debug-Token: open\r\n");
    assert_eq!(output(&gateway, &wrong), (None, false));
    let right = format!("{away}X-Kong-Request-Debug-Token: open sesame\r\n");
    assert!(output(&gateway, &right).0.is_some());
    assert_eq!(output(&gateway, "X-Kong-Request-Debug: router\r\n").0, None);
    assert_eq!(output(&gateway, "").0, None);
    assert_eq!(output(&start(None), ask), (None, true));
}
