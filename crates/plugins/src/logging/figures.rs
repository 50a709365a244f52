//! Sizes and times of a request that has come to its end.

use crate::{Exchange, HeaderMap};

/// Times in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Latencies {
    /// From the request's head until the end of the response.
    pub(crate) request: u64,
    /// Spent by the gateway: until the upstream was called, or all of it.
    pub(crate) kong: u64,
    /// Spent waiting for the upstream's response head; -1 when no upstream was called.
    pub(crate) proxy: i64,
    /// Spent receiving the response.
    pub(crate) receive: u64,
}

impl Latencies {
    /// Those of an exchange.
    pub(crate) fn of(exchange: &Exchange<'_>) -> Self {
        let request = exchange.outcome.took.as_millis() as u64;
        let before = exchange.outcome.before_upstream;
        let before = before.map(|before| before.as_millis() as u64);
        let waited = exchange.times.upstream;
        let waited = waited.map(|waited| waited.as_millis() as u64);
        Self {
            request,
            kong: before.unwrap_or(request),
            proxy: waited.map_or(-1, |waited| waited as i64),
            receive: match (before, waited) {
                (Some(before), Some(waited)) => request.saturating_sub(before + waited),
                _ => 0,
            },
        }
    }
}

/// Bytes of the request. Written in HTTP/1.1, its head has as many as it has in the end: with the
/// headers that plugins have added, and without those that they took away.
pub(crate) fn request_size(exchange: &Exchange<'_>) -> u64 {
    let line =
        exchange.method.as_str().len() + exchange.outcome.target.len() + "  HTTP/1.1\r\n".len();
    line as u64 + headers_size(&exchange.headers) + exchange.outcome.received
}

/// Bytes of the response, with its head written in HTTP/1.1.
pub(crate) fn response_size(exchange: &Exchange<'_>) -> u64 {
    let response = &exchange.response;
    let reason = response.status.canonical_reason().unwrap_or_default();
    let line = "HTTP/1.1 000 \r\n".len() + reason.len();
    line as u64 + headers_size(&response.headers) + exchange.outcome.sent
}

fn headers_size(headers: &HeaderMap) -> u64 {
    let lines = headers.lines();
    let lines =
        lines.map(|line| line.name().as_bytes().len() + line.value().len() + ": \r\n".len());
    (lines.sum::<usize>() + "\r\n".len()) as u64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::{exchange, headers};

    #[test]
    fn sizes_are_those_of_what_went_over_the_wire() {
        let mut exchange = exchange("POST", "/a");
        exchange.outcome.target = "/a".to_owned();
        exchange.outcome.received = 5;
        let request = "POST /a HTTP/1.1\r\nhost: example.test\r\n\r\n12345";
        assert_eq!(request_size(&exchange), request.len() as u64);
        exchange.response.headers = headers(&[("content-length", "2")]);
        exchange.outcome.sent = 2;
        let response = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";
        assert_eq!(response_size(&exchange), response.len() as u64);
    }

    #[test]
    fn times_are_told_apart() {
        let mut exchange = exchange("GET", "/a");
        exchange.outcome.took = Duration::from_millis(100);
        let alone = Latencies {
            request: 100,
            kong: 100,
            proxy: -1,
            receive: 0,
        };
        assert_eq!(Latencies::of(&exchange), alone);
        exchange.outcome.before_upstream = Some(Duration::from_millis(3));
        exchange.times.upstream = Some(Duration::from_millis(90));
        let proxied = Latencies {
            request: 100,
            kong: 3,
            proxy: 90,
            receive: 7,
        };
        assert_eq!(Latencies::of(&exchange), proxied);
    }
}
