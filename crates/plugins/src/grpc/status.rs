//! How a call ended: the codes of gRPC, and the statuses of HTTP that stand for them.

use std::borrow::Cow;

use http::{HeaderName, StatusCode};

use crate::Exchange;

/// The field that tells the code.
pub(crate) const STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// The field that tells why, percent-encoded.
pub(crate) const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Status<'e> {
    pub(crate) code: Cow<'e, str>,
    pub(crate) message: Cow<'e, str>,
}

impl<'e> Status<'e> {
    pub(crate) fn new(code: &'static str, message: impl Into<Cow<'e, str>>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
        }
    }

    /// What the response says: after its body, or, where it has none, in its headers. A response that is none
    /// of gRPC says it by its status.
    pub(crate) fn of(exchange: &'e Exchange<'_>) -> Self {
        let response = &exchange.response;
        let told = |name: HeaderName| {
            let after = exchange.trailers.as_ref();
            let after = after.and_then(|fields| fields.get(&name));
            let value = after.or_else(|| response.headers.get(&name))?;
            value.to_str().ok().map(Cow::Borrowed)
        };
        Self {
            code: told(STATUS).unwrap_or_else(|| code(response.status).into()),
            message: told(MESSAGE).unwrap_or_default(),
        }
    }
}

/// The code for a response that tells none, as gRPC's mapping of statuses has it; a whole one went well.
fn code(status: StatusCode) -> &'static str {
    match status.as_u16() {
        200 => "0",
        400 => "13",
        401 => "16",
        403 => "7",
        404 => "12",
        429 | 502..=504 => "14",
        _ => "2",
    }
}

/// The status of HTTP that stands for a code; none for an unknown one.
pub(crate) fn of_code(code: &[u8]) -> Option<StatusCode> {
    let code: usize = std::str::from_utf8(code).ok()?.trim().parse().ok()?;
    let statuses = [
        200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 500, 500, 503, 500, 401,
    ];
    StatusCode::from_u16(*statuses.get(code)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_statuses() {
        for (code, status) in [("0", 200), ("1", 499), ("5", 404), ("14", 503), ("16", 401)] {
            assert_eq!(of_code(code.as_bytes()).unwrap(), status, "{code}");
        }
        for odd in ["", "17", "-1", "x"] {
            assert_eq!(of_code(odd.as_bytes()), None, "{odd}");
        }
    }
}
