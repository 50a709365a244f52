//! Writing heads and chunks.

use std::io::Write;

use http::StatusCode;
use keelgate_plugins::HeaderMap;
use keelgate_plugins::headers::WrittenName;

use super::{Framing, reason};

/// `HTTP/1.1 200 OK`; an empty `reason` stands for the usual one when `status` has been changed.
pub(crate) fn status_line(status: StatusCode, upstream_reason: Option<&[u8]>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    match upstream_reason {
        Some(reason) => out.extend_from_slice(reason),
        None => out.extend_from_slice(reason::phrase(status).as_bytes()),
    }
    out.extend_from_slice(b"\r\n");
}

/// One header line with a name written as given.
pub(crate) fn line(name: &str, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Header lines from a map, without those that `skip` names; its names may be in letters of either
/// case.
pub(crate) fn lines(headers: &HeaderMap, skip: impl Fn(&[u8]) -> bool, out: &mut Vec<u8>) {
    for line in headers.lines() {
        let name = line.name();
        let bytes = match name {
            WrittenName::AsSent(name) => name,
            WrittenName::Lower(name) => name.as_bytes(),
        };
        if skip(bytes) {
            continue;
        }
        if let Some(whole) = line.whole() {
            out.extend_from_slice(whole);
            continue;
        }
        let value = line.value();
        out.reserve(bytes.len() + value.len() + 4);
        let start = out.len();
        out.extend_from_slice(bytes);
        if matches!(name, WrittenName::Lower(_)) {
            to_title_case(&mut out[start..]);
        }
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
}

/// Names that nobody has written are written as most peers write them.
fn to_title_case(name: &mut [u8]) {
    let mut starts = true;
    for letter in name {
        if starts {
            letter.make_ascii_uppercase();
        }
        starts = *letter == b'-';
    }
}

/// The header line that tells a body's framing.
pub(crate) fn framing(framing: Framing, out: &mut Vec<u8>) {
    match framing {
        Framing::Length(length) => {
            out.extend_from_slice(b"Content-Length: ");
            number(length, out);
            out.extend_from_slice(b"\r\n");
        }
        Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Framing::Empty | Framing::UntilClose => {}
    }
}

/// The line before the data of a chunk.
pub(crate) fn chunk_size(length: usize, out: &mut Vec<u8>) {
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{length:x}\r\n");
}

/// The end of a chunked body.
pub(crate) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// A decimal number.
pub(crate) fn number(value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn names_are_written_as_they_came_and_others_in_title_case() {
        let head = b"x-UPPER-lower: 1";
        let mut headers = HeaderMap::of_head(head, 1, 1, 0);
        headers.push_read(0..13, 15..16);
        headers.insert("x-upper-lower", HeaderValue::from_static("2"));
        headers.insert("x-other-name", HeaderValue::from_static("3"));
        headers.insert("etag", HeaderValue::from_static("4"));
        let mut out = Vec::new();
        lines(&headers, |name| name == b"etag", &mut out);
        assert_eq!(out, b"x-UPPER-lower: 2\r\nX-Other-Name: 3\r\n");
    }
}
