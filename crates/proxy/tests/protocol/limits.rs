//! The limits that `docs/limits.md` tells: each is reached, and passed.

use std::io::Write;
use std::net::TcpStream;

use crate::support::{Client, Gateway, config, echo, upstream};

/// The limit and the answer in the row whose text begins with `what`.
fn told(what: &str) -> (usize, u16) {
    let rows: Vec<Vec<&str>> = include_str!("../../../../docs/limits.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| "))
        .map(|line| line.trim_end_matches(" |").split(" | ").collect())
        .filter(|row: &Vec<&str>| row[0].starts_with(what))
        .collect();
    let [row] = &rows[..] else {
        panic!("{what}: {} rows", rows.len());
    };
    (row[1].parse().unwrap(), row[2].parse().unwrap())
}

const START: &str = "GET / HTTP/1.1\r\nHost: h\r\n";
const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";

/// `length` bytes of lines that are within the limit of one.
fn lines(length: usize) -> String {
    let line = |length: usize| format!("X: {}\r\n", "x".repeat(length - "X: \r\n".len()));
    let whole = length / 4000 - 1;
    line(4000).repeat(whole) + &line(length - whole * 4000)
}

#[test]
fn requests_are_served_up_to_each_limit_and_refused_beyond() {
    let gateway = Gateway::start(config(echo()));
    let status = |request: String| {
        let mut client = gateway.connect();
        // What is beyond a limit may be refused before it has arrived.
        let _ = client.stream.write_all(request.as_bytes());
        client.response(false).status
    };
    let check = |what: &str, request: &dyn Fn(usize) -> String| {
        let (limit, answer) = told(what);
        assert_eq!(status(request(limit)), 200, "{what}: {limit}");
        assert_eq!(status(request(limit + 1)), answer, "{what}: beyond {limit}");
    };
    check("request line", &|length| {
        let rest = "GET / HTTP/1.1\r\n".len();
        format!(
            "GET /{} HTTP/1.1\r\nHost: h\r\n\r\n",
            "x".repeat(length - rest)
        )
    });
    check("one header line", &|length| {
        format!("{START}X: {}\r\n\r\n", "x".repeat(length - "X: \r\n".len()))
    });
    check("whole head", &|length| {
        format!("{START}{}\r\n", lines(length - START.len() - 2))
    });
    check("header lines", &|count| {
        format!("{START}{}\r\n", "X: 1\r\n".repeat(count - 1))
    });
    check("empty lines", &|length| {
        format!("{}{START}\r\n", "\n".repeat(length))
    });
    check("extension of one chunk", &|length| {
        format!("{CHUNKED}1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(length - 1))
    });
    check("size lines of a chunked body", &|length| {
        // Each chunk of one byte makes up for 18.
        let whole = format!("1;{}\r\nx\r\n", "e".repeat(1024 + 18 - 4));
        let chunks = length / 1024;
        let rest = length % 1024 + 18 - 4;
        let last = format!("1;{}\r\nx\r\n", "e".repeat(rest));
        format!("{CHUNKED}{}{last}0\r\n\r\n", whole.repeat(chunks))
    });
    check("trailers", &|length| {
        format!("{CHUNKED}0\r\n{}\r\n", lines(length - 2))
    });
    check("trailer fields", &|count| {
        format!("{CHUNKED}0\r\n{}\r\n", "X: 1\r\n".repeat(count))
    });
}

#[test]
fn responses_are_passed_on_up_to_each_limit_and_refused_beyond() {
    let status = |response: String| {
        let (address, _) = upstream(move |mut client: Client<TcpStream>, _| {
            while client.request().is_some() {
                let _ = client.stream.write_all(response.as_bytes());
            }
        });
        let gateway = Gateway::start(config(address));
        let mut client = gateway.connect();
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        loop {
            let response = client.response(false);
            if response.status >= 200 {
                return response.status;
            }
        }
    };
    let check = |what: &str, response: &dyn Fn(usize) -> String| {
        let (limit, answer) = told(what);
        assert_eq!(status(response(limit)), 200, "{what}: {limit}");
        assert_eq!(
            status(response(limit + 1)),
            answer,
            "{what}: beyond {limit}"
        );
    };
    let start = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n";
    check("head of a response", &|length| {
        format!("{start}{}\r\n", lines(length - start.len() - 2))
    });
    check("lines of a response head", &|count| {
        format!("{start}{}\r\n", "X: 1\r\n".repeat(count - 1))
    });
    check("informational responses", &|count| {
        format!(
            "{}{start}\r\n",
            "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(count)
        )
    });
}
