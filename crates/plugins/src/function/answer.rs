//! From what a function says to a response.

use http::HeaderName;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};

use crate::exchange::MadeBy;
use crate::response::Body;
use crate::{HeaderMap, Response};

use super::client::Answer;

/// Headers that belong to the connection to the function, or to the body as it came over it.
const NOT_PASSED_ON: [HeaderName; 6] = [
    CONNECTION,
    CONTENT_LENGTH,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// The response that says what the function has said.
pub(crate) fn response(answer: Answer) -> Response {
    let mut headers = HeaderMap::new();
    for (name, value) in &answer.headers {
        if !NOT_PASSED_ON.contains(name) {
            headers.append(name, value.clone());
        }
    }
    let mut response = Response::new(answer.status, Body::Bytes(answer.body));
    response.headers = headers;
    response.made_by = MadeBy::Function;
    response
}
