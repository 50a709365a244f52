//! The status of an HTTP answer.

use std::io::{self, Write};

use http::header::{HOST, USER_AGENT};
use keelgate_balancer::Outcome;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Probe;
use crate::net::Stream;

/// What a target may send before its status is known, in bytes.
const LONGEST_HEAD: usize = 16 * 1024;

/// Asks for the path and reads as far as the status.
pub(super) async fn ask(probe: &Probe<'_>, mut stream: Stream) -> io::Result<Outcome> {
    stream.write_all(&request(probe)).await?;
    stream.flush().await?;
    let mut head = Vec::with_capacity(1024);
    loop {
        if stream.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match status(&head) {
            Ok(Some(status)) => return Ok(Outcome::Status(status)),
            Ok(None) if head.len() < LONGEST_HEAD => {}
            _ => return Ok(Outcome::Garbage),
        }
    }
}

fn request(probe: &Probe<'_>) -> Vec<u8> {
    let path = probe.checks.http_path.as_deref().unwrap_or("/");
    let mut request = format!("GET {path} HTTP/1.1\r\n").into_bytes();
    let has = |name| probe.headers().any(|(own, _)| own == name);
    if !has(HOST) {
        put(&mut request, "host", probe.authority.as_bytes());
    }
    if !has(USER_AGENT) {
        let agent = concat!("keelgate/", env!("CARGO_PKG_VERSION"));
        put(&mut request, "user-agent", agent.as_bytes());
    }
    for (name, value) in probe.headers() {
        put(&mut request, name.as_str(), value.as_bytes());
    }
    put(&mut request, "connection", b"close");
    request.extend_from_slice(b"\r\n");
    request
}

fn put(request: &mut Vec<u8>, name: &str, value: &[u8]) {
    // Writing to memory cannot fail.
    let _ = write!(request, "{name}: ");
    request.extend_from_slice(value);
    request.extend_from_slice(b"\r\n");
}

/// The status, once its line is whole; interim ones are passed over. `Err` if this is not HTTP.
fn status(mut head: &[u8]) -> Result<Option<u16>, httparse::Error> {
    loop {
        let mut headers = [httparse::EMPTY_HEADER; 128];
        let mut response = httparse::Response::new(&mut headers);
        let parsed = response.parse(head)?;
        match (response.code, parsed) {
            (Some(100..=199), httparse::Status::Complete(length)) => head = &head[length..],
            (Some(100..=199) | None, _) => return Ok(None),
            (status, _) => return Ok(status),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::status;

    #[test]
    fn the_status_is_known_from_its_line() {
        assert_eq!(status(b"HTTP/1.1 20"), Ok(None));
        assert_eq!(status(b"HTTP/1.1 204 No Content\r\nx"), Ok(Some(204)));
        assert_eq!(status(b"HTTP/1.0 503\r\n"), Ok(Some(503)));
        let interim = b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 500 x\r\n";
        assert_eq!(status(interim), Ok(Some(500)));
        assert!(status(b"SSH-2.0-x\r\n").is_err());
    }
}
