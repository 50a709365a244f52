//! Bytes that servers and clients read differently: all of the tables in `cases/`.

use std::io::Write;
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use crate::cases::{self, Case};
use crate::strict;
use crate::support::{Client, Gateway, config, upstream};

#[test]
fn requests_are_read_in_one_way_or_refused() {
    let (address, seen) = strict::start();
    let gateway = Gateway::start(config(address));
    for case in cases::read(include_str!("cases/requests.txt")) {
        let about = &case.about;
        let bytes = case.bytes(case.one('>'));
        let mut client = gateway.connect();
        client.stream.write_all(&bytes).unwrap();
        let mut expected: Vec<&str> = case.one('<').split(' ').collect();
        let end = expected.pop().unwrap();
        for status in expected {
            let response = client.response(bytes.starts_with(b"HEAD"));
            assert_eq!(response.status.to_string(), status, "{about}");
        }
        let mut requests: Vec<String> = case.all('^').map(str::to_owned).collect();
        if end == "open" {
            client.send("GET /after HTTP/1.1\r\nHost: h\r\n\r\n");
            assert_eq!(client.response(false).status, 200, "{about}");
            requests.push("GET /after \"\"".to_owned());
        } else {
            assert!(client.is_closed(), "{about}");
        }
        let arrived: Vec<_> = seen.try_iter().map(|seen| seen.expect(about)).collect();
        let told = arrived.iter().map(|seen| {
            let body = String::from_utf8_lossy(&seen.body);
            format!("{} {} {body:?}", seen.method, seen.target)
        });
        assert_eq!(told.collect::<Vec<_>>(), requests, "{about}");
        for line in case.all('+') {
            let (name, value) = line.split_once(": ").unwrap();
            let values: Vec<_> = arrived[0].values(name).collect();
            assert_eq!(values, [value], "{about}: {name}");
        }
        for name in case.all('-') {
            assert_eq!(arrived[0].values(name).next(), None, "{about}: {name}");
        }
    }
}

/// An upstream that answers the first request of all with the bytes of a case, and whatever else it
/// is asked with `next`.
fn plays(case: &Case) -> (Gateway, Arc<std::sync::atomic::AtomicUsize>) {
    let text = case.one('>');
    let close = text.ends_with("{close}");
    let bytes = case.bytes(text.trim_end_matches("{close}"));
    let answer = Mutex::new(Some(bytes));
    let (address, connections) = upstream(move |mut client: Client<TcpStream>, _| {
        while client.request().is_some() {
            let bytes = answer.lock().unwrap().take();
            match bytes {
                // Fails when the gateway has seen enough.
                Some(bytes) if client.stream.write_all(&bytes).is_err() || close => return,
                Some(_) => {}
                None => client.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext"),
            }
        }
    });
    let mut config = config(address);
    config["services"][0]["retries"] = 0.into();
    let gateway = Gateway::with(config, |settings| settings.workers = 1, |_| None);
    (gateway, connections)
}

#[test]
fn responses_are_read_in_one_way_or_refused() {
    for case in cases::read(include_str!("cases/responses.txt")) {
        let about = &case.about;
        let (gateway, connections) = plays(&case);
        let method = case.all('?').next().unwrap_or("GET");
        let mut client = gateway.connect();
        client.send(&format!("{method} / HTTP/1.1\r\nHost: h\r\n\r\n"));
        let mut expected = case.one('<').split(' ').peekable();
        let mut response = client.response(method == "HEAD");
        loop {
            let status = expected.next().unwrap();
            assert_eq!(response.status.to_string(), status, "{about}");
            if expected
                .peek()
                .is_none_or(|next| !next.starts_with(char::is_numeric))
            {
                break;
            }
            response = client.response(method == "HEAD");
        }
        let cut = expected.next_if_eq(&"cut").is_some();
        assert_eq!(response.cut, cut, "{about}");
        if let Some(body) = expected.next() {
            let came = if cut {
                // The last chunk that was begun is not whole, but what came of it is there.
                String::from_utf8_lossy(&response.body).into_owned()
            } else {
                response.text()
            };
            assert_eq!(format!("{came:?}"), body, "{about}");
        }
        for line in case.all('+') {
            let (name, value) = line.split_once(": ").unwrap();
            assert_eq!(response.header(name), Some(value), "{about}: {name}");
        }
        for name in case.all('-') {
            assert_eq!(response.header(name), None, "{about}: {name}");
        }
        let next = gateway.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(next.text(), "next", "{about}");
        let expected = if case.one('!') == "again" { 1 } else { 2 };
        let opened = connections.load(std::sync::atomic::Ordering::SeqCst);
        assert_eq!(opened, expected, "{about}: connections");
    }
}
