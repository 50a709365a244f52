//! What gRPC clients are told: a status and a message in headers, in place of a body.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, StatusCode, Version};
use keelgate_plugins::HeaderMap;
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};

use super::Answer;
use crate::error_page::is_grpc;

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// What a message in a header escapes.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');

/// Whether a request is one of gRPC.
pub(super) fn speaks_grpc(version: Version, headers: &HeaderMap) -> bool {
    version == Version::HTTP_2 && is_grpc(headers.get(CONTENT_TYPE))
}

/// Says an answer in the way of gRPC where `asked` by such a client: its text becomes the message.
/// An answer with a content type of its own is left as it is.
pub(super) fn tell(version: Version, asked: &HeaderMap, answer: &mut Answer) {
    let own = answer.headers.get(CONTENT_TYPE);
    let formed = own.is_some();
    let grpc = match own {
        Some(_) => is_grpc(own),
        None => speaks_grpc(version, asked),
    };
    if !grpc {
        return;
    }
    let code = code(answer.status);
    let told = answer.headers.contains_key(STATUS);
    if !told {
        answer.headers.insert(STATUS, HeaderValue::from(code));
    }
    if !formed && !answer.body.is_empty() {
        let text = percent_encode(&answer.body, ESCAPED).to_string();
        answer.body = Bytes::new();
        if let Ok(text) = HeaderValue::try_from(text) {
            answer.headers.insert(MESSAGE, text);
        }
    } else if !told && !answer.headers.contains_key(MESSAGE) {
        answer
            .headers
            .insert(MESSAGE, HeaderValue::from_static(name(code)));
    }
}

/// The code of gRPC that stands for a status of HTTP, as Kong has it.
fn code(status: StatusCode) -> u16 {
    match status.as_u16() {
        401 => 16,
        403 => 7,
        404 => 5,
        409 => 6,
        429 => 8,
        499 => 1,
        501 => 12,
        503 => 14,
        504 => 4,
        200..=299 => 0,
        400..=498 => 3,
        500..=599 => 13,
        _ => 2,
    }
}

fn name(code: u16) -> &'static str {
    match code {
        0 => "OK",
        1 => "Canceled",
        3 => "InvalidArgument",
        4 => "DeadlineExceeded",
        5 => "NotFound",
        6 => "AlreadyExists",
        7 => "PermissionDenied",
        8 => "ResourceExhausted",
        12 => "Unimplemented",
        13 => "Internal",
        14 => "Unavailable",
        16 => "Unauthenticated",
        _ => "Unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: u16, content_type: Option<&'static str>, body: &'static str) -> Answer {
        let mut asked = HeaderMap::new();
        asked.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/grpc+proto"),
        );
        let mut answer = Answer::empty(StatusCode::from_u16(status).unwrap());
        answer.body = Bytes::from_static(body.as_bytes());
        if let Some(content_type) = content_type {
            let value = HeaderValue::from_static(content_type);
            answer.headers.insert(CONTENT_TYPE, value);
        }
        tell(Version::HTTP_2, &asked, &mut answer);
        answer
    }

    #[test]
    fn the_text_becomes_the_message() {
        let answer = told(429, None, "100 % used,\nwait");
        assert_eq!(answer.headers[STATUS], "8");
        assert_eq!(answer.headers[MESSAGE], "100 %25 used,%0Await");
        assert!(answer.body.is_empty());
    }

    #[test]
    fn without_a_text_the_code_is_named() {
        let answer = told(502, Some("application/grpc"), "");
        assert_eq!(answer.headers[STATUS], "13");
        assert_eq!(answer.headers[MESSAGE], "Internal");
        assert_eq!(told(404, None, "").headers[MESSAGE], "NotFound");
    }

    #[test]
    fn answers_of_another_type_are_left_alone() {
        let answer = told(404, Some("text/html"), "<p>no</p>");
        assert!(!answer.headers.contains_key(STATUS));
        assert_eq!(answer.body, "<p>no</p>");
        let mut answer = Answer::empty(StatusCode::NOT_FOUND);
        tell(Version::HTTP_11, &HeaderMap::new(), &mut answer);
        assert!(answer.headers.is_empty());
    }
}
