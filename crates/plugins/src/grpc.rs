//! What plugins know of gRPC: its frames, the descriptions of services in `.proto` files, and its codes.

pub(crate) mod frame;
pub(crate) mod proto;
mod status;

pub(crate) use status::{MESSAGE, STATUS, Status, of_code as status_of};

use http::HeaderValue;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, TE};

use crate::exchange::MadeBy;
use crate::{Exchange, HeaderMap};

/// Makes a request one of gRPC, whose messages are not compressed further.
pub(crate) fn ask(headers: &mut HeaderMap) {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
}

/// Whether the response is an upstream's in gRPC: others have no frames.
pub(crate) fn is_answered(exchange: &Exchange<'_>) -> bool {
    let response = &exchange.response;
    let content_type = response.headers.get(CONTENT_TYPE);
    response.made_by == MadeBy::Upstream
        && content_type.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// Gives the response another type, and takes away the length that its body had.
pub(crate) fn answer(headers: &mut HeaderMap, content_type: &'static str) {
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
}
