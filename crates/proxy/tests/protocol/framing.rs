//! Whatever is accepted goes on with one framing, and the same body.

use std::io::Write;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::TestRunner;

use crate::strict;
use crate::support::{Gateway, config};

/// Lines that mislead, or try to.
const NOISE: [&str; 27] = [
    "X-Plain: 1",
    "Content-Length: 3",
    "Content-Length: 0",
    "Content-Length : 3",
    " Content-Length: 3",
    "Content_Length: 3",
    "Content-Length: 3, 3",
    "X-Content-Length: 3",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding:\tchunked",
    "Transfer_Encoding: chunked",
    "X: y\rTransfer-Encoding: chunked",
    "X: y\nTransfer-Encoding: chunked",
    "X: y\r\n Transfer-Encoding: chunked",
    "Connection: Content-Length",
    "Connection: Transfer-Encoding",
    "Connection: keep-alive, X-Plain",
    "Connection: close",
    "TE: trailers",
    "Trailer: X-T",
    "Expect: 100-continue",
    "Upgrade: h2c",
    "Host: i",
    "Keep-Alive: 5",
    "X-Forwarded-For: 1.2.3.4",
];

/// Those that tell a body where nothing else does.
const TELLING: [&str; 3] = [
    "Content-Length: 3",
    "Transfer-Encoding: chunked",
    "X: y\nTransfer-Encoding: chunked",
];

#[derive(Clone, Debug)]
enum Way {
    None,
    Length,
    /// After so many bytes each; with what follows a size, and what follows the last chunk.
    Chunks(Vec<usize>, &'static str, &'static str),
}

fn ways() -> impl Strategy<Value = Way> {
    let after_size = select(vec!["", ";a=b", " ; a=\"b\"", "  ", ";"]);
    let after_last = select(vec![
        "",
        "X-T: 1\r\n",
        "Content-Length: 3\r\n",
        "Host: i\r\n",
    ]);
    prop_oneof![
        Just(Way::None),
        Just(Way::Length),
        (vec(1..40_usize, 0..6), after_size, after_last)
            .prop_map(|(cuts, size, last)| Way::Chunks(cuts, size, last)),
    ]
}

/// The bytes of a request.
fn written(method: &str, noise: &[&str], at: Index, way: &Way, body: &[u8]) -> Vec<u8> {
    let mut lines: Vec<String> = noise.iter().map(|&line| line.to_owned()).collect();
    let told = match way {
        Way::None => None,
        Way::Length => Some(format!("Content-Length: {}", body.len())),
        Way::Chunks(..) => Some("Transfer-Encoding: chunked".to_owned()),
    };
    if let Some(told) = told {
        lines.insert(at.index(lines.len() + 1), told);
    }
    lines.insert(0, format!("{method} /p HTTP/1.1\r\nHost: h"));
    let mut bytes = lines.join("\r\n").into_bytes();
    bytes.extend_from_slice(b"\r\n\r\n");
    match way {
        Way::None => {}
        Way::Length => bytes.extend_from_slice(body),
        Way::Chunks(cuts, after_size, after_last) => {
            let mut rest = body;
            let mut cuts = cuts.iter();
            while !rest.is_empty() {
                let size = cuts.next().copied().unwrap_or(rest.len()).min(rest.len());
                bytes.extend_from_slice(format!("{size:x}{after_size}\r\n").as_bytes());
                bytes.extend_from_slice(&rest[..size]);
                bytes.extend_from_slice(b"\r\n");
                rest = &rest[size..];
            }
            bytes.extend_from_slice(format!("0{after_size}\r\n{after_last}\r\n").as_bytes());
        }
    }
    bytes
}

#[test]
fn what_is_accepted_goes_on_with_one_framing_and_the_same_body() {
    let (address, seen) = strict::start();
    let gateway = Gateway::start(config(address));
    let input = (
        select(vec!["POST", "GET", "PUT", "DELETE", "OPTIONS"]),
        // Mostly one or none, so that half of the requests are accepted.
        vec(select(&NOISE[..]), 0..3),
        any::<Index>(),
        ways(),
        vec(any::<u8>(), 0..200),
        any::<Index>(),
    );
    let mut runner = TestRunner::new(ProptestConfig::with_cases(300));
    let (accepted, refused) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    runner
        .run(&input, |(method, mut noise, at, way, mut body, cut)| {
            if matches!(way, Way::None) {
                body.clear();
                // These would not mislead about the body, but tell it.
                noise.retain(|line| !TELLING.contains(line));
            }
            let mut bytes = written(method, &noise, at, &way, &body);
            bytes.extend_from_slice(b"GET /after HTTP/1.1\r\nHost: h\r\n\r\n");
            let mut client = gateway.connect();
            client.stream.set_nodelay(true).unwrap();
            let (first, second) = bytes.split_at(cut.index(bytes.len()));
            client.stream.write_all(first).unwrap();
            // Refused already, perhaps.
            let _ = client.stream.write_all(second);

            let mut response = client.response(false);
            while response.status == 100 {
                response = client.response(false);
            }
            if response.status != 200 {
                prop_assert!(matches!(response.status, 400 | 501), "{}", response.status);
                prop_assert!(client.is_closed());
                prop_assert!(seen.try_recv().is_err(), "refused, and sent on");
                refused.set(refused.get() + 1);
                return Ok(());
            }
            accepted.set(accepted.get() + 1);
            let arrived = seen.recv().unwrap();
            prop_assert!(arrived.is_ok(), "{:?}", arrived);
            let arrived = arrived.unwrap();
            prop_assert_eq!(arrived.target, "/p");
            prop_assert_eq!(arrived.body, body);
            if noise.contains(&"Connection: close") {
                prop_assert!(client.is_closed());
            } else {
                prop_assert_eq!(client.response(false).status, 200);
                let after = seen.recv().unwrap();
                prop_assert_eq!(after.map(|seen| seen.target), Ok("/after".to_owned()));
            }
            prop_assert!(seen.try_recv().is_err(), "a request that nobody made");
            Ok(())
        })
        .unwrap();
    assert!(accepted.get() > 50 && refused.get() > 50);
}
