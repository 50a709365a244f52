//! Responses for clients that are slow to take them.

use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};

use keelgate_proxy::Listen;
use serde_json::Value;

use crate::frames::{
    DATA, END_HEADERS, END_STREAM, Field, HEADERS, INTERNAL_ERROR, Peer, RST_STREAM, WINDOW_UPDATE,
    block,
};
use crate::support::{Gateway, config, upstream};

/// What comes of the long response before the client is known to be slow, and after.
const FIRST: usize = 1000;
const REST: usize = 60_000;

const LONG: [Field<'_>; 4] = [
    (b":method", b"GET"),
    (b":scheme", b"http"),
    (b":path", b"/long"),
    (b":authority", b"h"),
];

/// How an upstream goes on with a long response.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Whole,
    BreaksOff,
}

/// A client that takes one byte of a long response and no more, and who says that the upstream goes on.
struct Slow {
    gateway: Gateway,
    client: Peer,
    go: Sender<Then>,
}

impl Slow {
    /// `lines` are headers of the response.
    fn start(response_buffering: bool, lines: &'static str) -> Self {
        let (go, wait) = channel();
        let wait = Mutex::new(wait);
        let (address, _) = upstream(move |mut client, number| {
            while let Some(request) = client.request() {
                if !request.head.starts_with("GET /long") {
                    // Only the connection of the long response is kept.
                    let close = if number == 0 {
                        ""
                    } else {
                        "Connection: close\r\n"
                    };
                    client.send(&format!(
                        "HTTP/1.1 200 OK\r\n{close}Content-Length: 1\r\n\r\n{number}"
                    ));
                    continue;
                }
                client.send(&format!(
                    "HTTP/1.1 200 OK\r\n{lines}Content-Length: {}\r\n\r\n{}",
                    FIRST + REST,
                    "x".repeat(FIRST)
                ));
                match wait.lock().unwrap().recv().unwrap() {
                    Then::Whole => client.send(&"y".repeat(REST)),
                    Then::BreaksOff => return client.send(&"y".repeat(REST - 1)),
                }
            }
        });
        let mut config: Value = config(address);
        config["routes"][0]["response_buffering"] = response_buffering.into();
        let gateway = Gateway::with(
            config,
            |settings| {
                settings.workers = 1;
                settings.listen = vec![Listen {
                    http2: true,
                    ..Listen::http(([127, 0, 0, 1], 0).into())
                }];
            },
            |_| None,
        );
        let mut client = Peer::dial_with(gateway.connect(), &[(4, 1)]);
        client.send(HEADERS, END_HEADERS | END_STREAM, 1, &block(&LONG));
        assert_eq!(client.next().unwrap().kind, HEADERS);
        assert_eq!(client.next().unwrap().payload, b"x");
        Self {
            gateway,
            client,
            go,
        }
    }

    /// The connection to the upstream that serves another request.
    fn served_by(&self) -> String {
        self.gateway.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n").text()
    }

    /// The client takes what is left; how long it is, and how it ends.
    fn take_rest(&mut self) -> (usize, Result<(), u32>) {
        let room = 100_000_u32.to_be_bytes();
        self.client.send(WINDOW_UPDATE, 0, 1, &room);
        let mut taken = 0;
        loop {
            let frame = self.client.next().unwrap();
            match frame.kind {
                DATA => {
                    taken += frame.payload.len();
                    if frame.flags & END_STREAM != 0 {
                        return (taken, Ok(()));
                    }
                }
                RST_STREAM => {
                    let code = frame.payload.try_into().unwrap();
                    return (taken, Err(u32::from_be_bytes(code)));
                }
                _ => {}
            }
        }
    }
}

#[test]
fn an_upstream_is_free_before_a_slow_client_has_its_response() {
    let mut slow = Slow::start(true, "");
    slow.go.send(Then::Whole).unwrap();
    while slow.served_by() != "0" {}
    assert_eq!(slow.take_rest(), (FIRST + REST - 1, Ok(())));
}

#[test]
fn an_upstream_may_say_itself_that_it_is_read_ahead() {
    let mut slow = Slow::start(false, "X-Accel-Buffering: yes\r\n");
    slow.go.send(Then::Whole).unwrap();
    while slow.served_by() != "0" {}
    assert_eq!(slow.take_rest(), (FIRST + REST - 1, Ok(())));
}

#[test]
fn a_response_that_is_not_buffered_waits_for_its_client() {
    for (buffering, lines) in [(false, ""), (true, "X-Accel-Buffering: no\r\n")] {
        let mut slow = Slow::start(buffering, lines);
        slow.go.send(Then::Whole).unwrap();
        for _ in 0..8 {
            assert_ne!(slow.served_by(), "0");
        }
        assert_eq!(slow.take_rest(), (FIRST + REST - 1, Ok(())));
        while slow.served_by() != "0" {}
    }
}

#[test]
fn what_was_read_ahead_of_a_failure_still_goes_on() {
    let mut slow = Slow::start(true, "");
    slow.go.send(Then::BreaksOff).unwrap();
    // In between the failure may be read.
    assert_ne!(slow.served_by(), "0");
    let (taken, end) = slow.take_rest();
    assert_eq!(end, Err(INTERNAL_ERROR));
    assert!(taken < FIRST + REST - 1);
}
