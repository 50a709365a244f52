//! What the load generator sends.

use anyhow::Context;
use bytes::Bytes;

/// One request, written for both HTTP versions beforehand.
#[derive(Clone)]
pub(crate) struct Request {
    /// As HTTP/1.1 on the wire, its body among it.
    pub(crate) wire: Bytes,
    /// For HTTP/2 over TLS.
    pub(crate) head: http::Request<()>,
    pub(crate) body: Bytes,
}

impl Request {
    pub(crate) fn get(path: &str, headers: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::new("GET", path, headers, Bytes::new())
    }

    pub(crate) fn post(path: &str, body: Bytes) -> anyhow::Result<Self> {
        Self::new("POST", path, &[("content-type", "text/plain")], body)
    }

    pub(crate) fn post_with(
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> anyhow::Result<Self> {
        Self::new("POST", path, headers, body)
    }

    pub(crate) fn patch(path: &str, json: Bytes) -> anyhow::Result<Self> {
        Self::new("PATCH", path, &[("content-type", "application/json")], json)
    }

    fn new(
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> anyhow::Result<Self> {
        let mut all = vec![("user-agent", "bench"), ("accept", "*/*")];
        all.extend(headers);
        let length = body.len().to_string();
        if !body.is_empty() {
            all.push(("content-length", &length));
        }
        let mut wire = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n");
        let mut head = http::Request::builder()
            .method(method)
            .uri(format!("https://localhost{path}"));
        for (name, value) in all {
            wire += &format!("{}: {value}\r\n", title_case(name));
            head = head.header(name, value);
        }
        wire += "\r\n";
        Ok(Self {
            wire: [wire.as_bytes(), &body].concat().into(),
            head: head.body(()).context("a request that cannot be said")?,
            body,
        })
    }
}

/// `User-Agent`, as most clients write it.
fn title_case(name: &str) -> String {
    let words = name.split('-').map(|word| {
        let (first, rest) = word.split_at(1);
        first.to_uppercase() + rest
    });
    words.collect::<Vec<_>>().join("-")
}

/// The request of this turn out of several: those in the middle come up most, as in Kong's own
/// benchmark, where the deviation from it is normal.
pub(crate) fn pick(requests: &[Request]) -> &Request {
    if let [only] = requests {
        return only;
    }
    let count = requests.len() as f64;
    let radius = (-2.0 * (1.0 - fastrand::f64()).ln()).sqrt();
    let normal = radius * (std::f64::consts::TAU * fastrand::f64()).cos();
    let index = (count / 2.0 + normal * count / 13.0).clamp(0.0, count - 1.0);
    &requests[index as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_the_same_in_both_versions() {
        let request = Request::post("/p", Bytes::from_static(b"hello")).unwrap();
        assert_eq!(
            request.wire,
            "POST /p HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nAccept: */*\r\n\
             Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
        );
        assert_eq!(request.head.headers().len(), 4);
        assert_eq!(request.head.uri(), "https://localhost/p");
    }

    #[test]
    fn picks_stay_within_and_around_the_middle() {
        let request = |path: usize| Request::get(&format!("/{path}"), &[]).unwrap();
        let requests: Vec<_> = (0..100).map(request).collect();
        let near = (0..1000)
            .filter(|_| {
                let path = &pick(&requests).head.uri().path()[1..];
                (20..80).contains(&path.parse::<usize>().unwrap())
            })
            .count();
        assert!(near > 900, "{near}");
    }
}
