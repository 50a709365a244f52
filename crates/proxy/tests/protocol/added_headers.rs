//! Headers that the gateway adds (`headers`, `headers_upstream`).

use keelgate_proxy::AddedHeaders;
use serde_json::Value;

use crate::support::{Gateway, Response, config, nobody, upstream};

/// A setting, the header that it adds, and whether to an upstream's answer, to one of the gateway's own,
/// and to one that refuses what is no request.
type Added = (fn(&mut AddedHeaders) -> &mut bool, &'static str, [bool; 3]);

const ADDED: [Added; 7] = [
    (|on| &mut on.server, "Server", [true; 3]),
    (|on| &mut on.via, "Via", [true, false, false]),
    (
        |on| &mut on.proxy_latency,
        "X-Kong-Proxy-Latency",
        [true, false, false],
    ),
    (
        |on| &mut on.upstream_latency,
        "X-Kong-Upstream-Latency",
        [true, false, false],
    ),
    (
        |on| &mut on.response_latency,
        "X-Kong-Response-Latency",
        [false, true, true],
    ),
    (
        |on| &mut on.upstream_status,
        "X-Kong-Upstream-Status",
        [true, false, false],
    ),
    (|on| &mut on.request_id, "X-Kong-Request-Id", [true; 3]),
];

const NONE: AddedHeaders = AddedHeaders {
    server: false,
    via: false,
    proxy_latency: false,
    upstream_latency: false,
    response_latency: false,
    upstream_status: false,
    request_id: false,
    request_id_upstream: false,
};

const ALL: AddedHeaders = AddedHeaders {
    server: true,
    via: true,
    proxy_latency: true,
    upstream_latency: true,
    response_latency: true,
    upstream_status: true,
    request_id: true,
    request_id_upstream: true,
};

const GET: &str = "GET /s HTTP/1.1\r\nHost: h\r\n\r\n";

/// An upstream that answers with these headers, and tells the head that it has got.
fn answering(lines: &'static str) -> Value {
    let (address, _) = upstream(move |mut client, _| {
        while let Some(request) = client.request() {
            let text = request.head;
            client.send(&format!(
                "HTTP/1.1 203 Fine\r\n{lines}Content-Length: {}\r\n\r\n{text}",
                text.len()
            ));
        }
    });
    let mut config = config(address);
    config["routes"][0]["paths"] = serde_json::json!(["/s"]);
    config
}

fn with(config: Value, headers: AddedHeaders) -> Gateway {
    Gateway::with(config, |settings| settings.headers = headers, |_| None)
}

/// An answer of the upstream, one of the gateway's own, and a refusal.
fn answers(gateway: &Gateway) -> [Response; 3] {
    let own = "GET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n";
    let answers = [GET, own, "GET /s HTTP/1.1\r\n\r\n"].map(|request| gateway.ask(request));
    assert_eq!(
        answers.each_ref().map(|answer| answer.status),
        [203, 404, 400]
    );
    answers
}

#[test]
fn every_header_is_added_or_left_out_by_itself() {
    let config = answering("");
    for (chosen, name, _) in ADDED {
        let (mut without, mut alone) = (ALL, NONE);
        *chosen(&mut without) = false;
        *chosen(&mut alone) = true;
        for (mut headers, what) in [(without, "without"), (alone, "alone")] {
            let answers = answers(&with(config.clone(), headers));
            for (setting, header, where_added) in ADDED {
                let on = *setting(&mut headers);
                let expected = where_added.map(|added| added && on);
                let told = answers
                    .each_ref()
                    .map(|answer| answer.header(header).is_some());
                assert_eq!(told, expected, "{header} {what} {name}");
            }
        }
    }
}

#[test]
fn the_request_id_goes_to_the_upstream_where_that_is_asked() {
    let sent = "GET /s HTTP/1.1\r\nHost: h\r\nX-Kong-Request-Id: mine\r\n\r\n";
    let seen = |headers| {
        let answer = with(answering(""), headers).ask(sent);
        let id = answer.header("X-Kong-Request-Id").map(str::to_owned);
        (id, answer.text())
    };
    let (id, seen_upstream) = seen(ALL);
    assert!(seen_upstream.contains(&format!("X-Kong-Request-Id: {}", id.unwrap())));
    assert!(!seen_upstream.contains("mine"));
    // A header like any other then.
    let (id, seen_upstream) = seen(AddedHeaders {
        request_id_upstream: false,
        ..ALL
    });
    assert_ne!(id.as_deref(), Some("mine"));
    assert!(seen_upstream.contains("X-Kong-Request-Id: mine"));
}

#[test]
fn the_name_of_the_upstream_is_kept() {
    for headers in [ALL, NONE] {
        let gateway = with(answering("Server: mine/1\r\n"), headers);
        assert_eq!(gateway.ask(GET).header("Server"), Some("mine/1"));
    }
}

#[test]
fn the_status_of_the_upstream_is_told_also_when_it_fails() {
    let status = |config: Value| {
        let answer = with(config, ALL).ask(GET);
        let told = answer.header("X-Kong-Upstream-Status").map(str::to_owned);
        (answer.status, told.unwrap())
    };
    assert_eq!(status(answering("")), (203, "203".into()));
    assert_eq!(status(config(nobody())), (502, "502".into()));
    let (silent, _) = upstream(|mut client, _| {
        client.request();
        client.is_closed();
    });
    let mut silent = config(silent);
    silent["services"][0]["read_timeout"] = 20.into();
    silent["services"][0]["retries"] = 0.into();
    assert_eq!(status(silent), (504, "504".into()));
}
