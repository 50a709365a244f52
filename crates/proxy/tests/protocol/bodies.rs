//! Bodies in every framing, both ways.

use std::sync::mpsc::channel;

use crate::support::{Gateway, config, echo, upstream};

#[test]
fn a_chunked_response_streams_piece_by_piece() {
    let (go, wait) = channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let (address, _) = upstream(move |mut client, _| {
        client.request().unwrap();
        client.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
        wait.lock().unwrap().recv().unwrap();
        client.send("6\r\nsecond\r\n0\r\nX-T: 1\r\n\r\n");
        client.is_closed();
    });
    let gateway = Gateway::start(config(address));
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let head = client.until("\r\n\r\n").unwrap();
    assert!(head.contains("Transfer-Encoding: chunked"));
    // The first piece is here while the upstream still holds the second one back.
    assert_eq!(client.exactly(10).unwrap(), b"5\r\nfirst\r\n");
    go.send(()).unwrap();
    assert_eq!(client.exactly(16).unwrap(), b"6\r\nsecond\r\n0\r\n\r\n");
}

#[test]
fn a_short_chunked_response_goes_out_whole() {
    let (address, _) = upstream(|mut client, _| {
        while client.request().is_some() {
            client.send(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                 5\r\nfirst\r\n6;x=y\r\nsecond\r\n0\r\nX-Trailer: 1\r\n\r\n",
            );
        }
    });
    let gateway = Gateway::start(config(address));
    let mut client = gateway.connect();
    for _ in 0..2 {
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        let response = client.response(false);
        assert_eq!(response.header("Transfer-Encoding"), Some("chunked"));
        assert_eq!(
            (response.text().as_str(), response.cut),
            ("firstsecond", false)
        );
    }
}

#[test]
fn a_response_until_close_is_chunked_for_new_clients_and_closed_for_old_ones() {
    let (address, _) = upstream(|mut client, _| {
        client.request().unwrap();
        client.send("HTTP/1.1 200 OK\r\n\r\nall of it");
    });
    let gateway = Gateway::start(config(address));
    let response = gateway.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(response.header("Transfer-Encoding"), Some("chunked"));
    assert_eq!(
        (response.text().as_str(), response.cut),
        ("all of it", false)
    );
    let response = gateway.ask("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(response.header("Transfer-Encoding"), None);
    assert_eq!(response.text(), "all of it");
}

#[test]
fn a_response_cut_short_is_seen_as_cut_short() {
    for head in ["Content-Length: 100", "Transfer-Encoding: chunked"] {
        let (address, _) = upstream(move |mut client, _| {
            client.request().unwrap();
            client.send(&format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n4\r\nhalf\r\n"));
        });
        let gateway = Gateway::start(config(address));
        let response = gateway.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        assert!(response.cut, "{head}");
    }
}

#[test]
fn request_bodies_arrive_whole() {
    let gateway = Gateway::start(config(echo()));
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
    assert!(
        client
            .response(false)
            .text()
            .ends_with("Content-Length: 5hello")
    );
    // Short chunked bodies are told by their length.
    client.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send("5;x=y\r\nhello\r\n6\r\n world\r\n0\r\n\r\n");
    let seen = client.response(false).text();
    assert!(
        seen.contains("Content-Length: 11") && seen.ends_with("hello world"),
        "{seen}"
    );
}

#[test]
fn long_request_bodies_stream() {
    let gateway = Gateway::start(config(echo()));
    let long = "x".repeat(3_000_000);
    let mut client = gateway.connect();
    client.send(&format!(
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{long}",
        long.len()
    ));
    let response = client.response(false);
    assert!(response.text().ends_with(&long));
    client.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    for _ in 0..30 {
        client.send(&format!("{:x}\r\n{}\r\n", 100_000, &long[..100_000]));
    }
    client.send("0\r\n\r\n");
    let seen = client.response(false).text();
    assert!(seen.contains("Transfer-Encoding: chunked") && seen.ends_with(&long));
}

#[test]
fn an_upstream_may_answer_before_it_has_the_body() {
    let (address, _) = upstream(|mut client, _| {
        client.until("\r\n\r\n").unwrap();
        client.send("HTTP/1.1 413 No\r\nContent-Length: 5\r\nConnection: close\r\n\r\nearly");
        client.is_closed();
    });
    let gateway = Gateway::start(config(address));
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10000000\r\n\r\nbegin");
    let response = client.response(false);
    assert_eq!((response.status, response.text().as_str()), (413, "early"));
}

#[test]
fn both_directions_may_stream_at_once() {
    let (address, _) = upstream(|mut client, _| {
        client.until("\r\n\r\n").unwrap();
        client.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        while let Some(line) = client.until("\r\n") {
            client.send(&format!("{line}\r\n"));
            if line == "0" {
                client.send("\r\n");
                return;
            }
        }
    });
    let mut with_streaming = config(address);
    with_streaming["routes"][0]["request_buffering"] = false.into();
    let gateway = Gateway::start(with_streaming);
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.until("\r\n\r\n").unwrap();
    for _ in 0..3 {
        client.send("2\r\nhi\r\n");
        assert_eq!(client.exactly(7).unwrap(), b"2\r\nhi\r\n");
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.exactly(5).unwrap(), b"0\r\n\r\n");
}

#[test]
fn a_client_that_waits_is_invited_to_send() {
    let gateway = Gateway::start(config(echo()));
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(client.until("\r\n\r\n").unwrap(), "HTTP/1.1 100 Continue");
    client.send("hello");
    assert!(client.response(false).text().ends_with("hello"));
}

#[test]
fn early_hints_are_passed_on() {
    let (address, _) = upstream(|mut client, _| {
        while client.request().is_some() {
            client.send("HTTP/1.1 100 Continue\r\n\r\n");
            client.send("HTTP/1.1 103 Early Hints\r\nLink: <x>\r\nConnection: close\r\n\r\n");
            client.send("HTTP/1.1 204 No Content\r\n\r\n");
        }
    });
    let gateway = Gateway::start(config(address));
    let mut client = gateway.connect();
    for _ in 0..2 {
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(
            client.until("\r\n\r\n").unwrap(),
            "HTTP/1.1 103 Early Hints\r\nLink: <x>"
        );
        let response = client.response(false);
        assert_eq!(
            (response.status, response.header("Content-Length")),
            (204, None)
        );
    }
    // HTTP/1.0 knows none.
    let response = gateway.ask("GET / HTTP/1.0\r\n\r\n");
    assert_eq!((response.status, response.header("Link")), (204, None));
}

#[test]
fn an_upstream_cannot_hint_for_ever() {
    let long = format!("Link: <{}>\r\n", "x".repeat(30_000));
    for (hints, header, status) in [
        (16, "", 200),
        (17, "", 502),
        (2, &*long, 200),
        (3, &*long, 502),
    ] {
        let hint = format!("HTTP/1.1 103 Early Hints\r\n{header}\r\n");
        let (address, _) = upstream(move |mut client, _| {
            client.request().unwrap();
            client.send(&hint.repeat(hints));
            client.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            client.is_closed();
        });
        let gateway = Gateway::start(config(address));
        let mut client = gateway.connect();
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        let last = loop {
            let head = client.until("\r\n\r\n").unwrap();
            if !head.starts_with("HTTP/1.1 103") {
                break head;
            }
        };
        assert!(last.starts_with(&format!("HTTP/1.1 {status}")), "{last}");
    }
}

#[test]
fn a_client_that_leaves_a_silent_stream_ends_it_at_the_upstream() {
    let (told, seen) = channel();
    let told = std::sync::Mutex::new(told);
    let (address, _) = upstream(move |mut client, _| {
        client.request().unwrap();
        client.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nevent\r\n");
        told.lock().unwrap().send(client.is_closed()).unwrap();
    });
    let gateway = Gateway::start(config(address));
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    client.until("event").unwrap();
    drop(client);
    // Long before the upstream's own time is over.
    let ended = seen.recv_timeout(crate::support::PATIENCE);
    assert_eq!(ended, Ok(true));
}

fn with_trailers() -> Gateway {
    let (address, _) = upstream(|mut client, _| {
        while client.request().is_some() {
            client.send(
                "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n\
                 2\r\nok\r\n0\r\nX-Sum: 7\r\nContent-Length: 9\r\n\r\n",
            );
        }
    });
    crate::http2::over_http2(config(address))
}

#[test]
fn who_asks_for_trailers_is_sent_them() {
    let gateway = with_trailers();
    let mut client = gateway.connect();
    for _ in 0..2 {
        client.send("GET / HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nConnection: TE\r\n\r\n");
        let head = client.until("\r\n\r\n").unwrap();
        assert!(head.contains("\r\nTrailer: X-Sum"), "{head}");
        assert_eq!(client.until("\r\n0\r\n").unwrap(), "2\r\nok");
        // A length is not for the end of a message.
        assert_eq!(client.until("\r\n\r\n").unwrap(), "x-sum: 7");
    }
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let head = client.until("\r\n\r\n").unwrap();
    assert!(!head.contains("Trailer"), "{head}");
    assert_eq!(client.until("0\r\n\r\n").unwrap(), "2\r\nok\r\n");
}

#[test]
fn streams_are_sent_trailers() {
    let gateway = with_trailers();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (body, trailers) = runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(gateway.address()).await;
        let (sender, connection) = h2::client::handshake(stream.unwrap()).await.unwrap();
        tokio::spawn(connection);
        let request = http::Request::get("http://h.test/").body(()).unwrap();
        let mut sender = sender.ready().await.unwrap();
        let response = sender.send_request(request, true).unwrap().0;
        let mut body = response.await.unwrap().into_body();
        let mut read = Vec::new();
        while let Some(piece) = body.data().await {
            read.extend_from_slice(&piece.unwrap());
        }
        (read, body.trailers().await.unwrap().unwrap())
    });
    assert_eq!(body, b"ok");
    assert_eq!(trailers.len(), 1);
    assert_eq!(trailers["x-sum"], "7");
}
