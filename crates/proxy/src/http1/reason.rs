//! Reason phrases of the responses that the gateway makes.

use http::StatusCode;

/// The phrase that Kong's clients see; some differ from the registered ones, and some statuses
/// have none.
pub(crate) fn phrase(status: StatusCode) -> &'static str {
    match status.as_u16() {
        302 => "Moved Temporarily",
        405 => "Not Allowed",
        408 => "Request Time-out",
        413 => "Request Entity Too Large",
        414 => "Request-URI Too Large",
        416 => "Requested Range Not Satisfiable",
        503 => "Service Temporarily Unavailable",
        504 => "Gateway Time-out",
        203 | 205 | 207..=299 | 305 | 306 | 407 | 417..=420 | 422..=428 | 430..=499 => "",
        _ => status.canonical_reason().unwrap_or(""),
    }
}
