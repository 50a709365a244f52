//! Writing heads and chunks.

use std::io::Write;

use http::{HeaderMap, HeaderValue, StatusCode};

use super::{Framing, Spelling, reason};

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

/// Header lines from a map, without those that `skip` names.
pub(crate) fn lines(
    headers: &HeaderMap,
    spelling: &Spelling,
    skip: impl Fn(&str) -> bool,
    out: &mut Vec<u8>,
) {
    for (name, value) in headers {
        if skip(name.as_str()) {
            continue;
        }
        spelling.write(name.as_str(), out);
        out.extend_from_slice(b": ");
        out.extend_from_slice(HeaderValue::as_bytes(value));
        out.extend_from_slice(b"\r\n");
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
