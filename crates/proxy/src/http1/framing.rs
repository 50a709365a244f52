//! How the end of a body is told.

use http::StatusCode;
use keelgate_plugins::HeaderMap;

use super::Malformed;

/// How the end of a body is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is no body.
    #[default]
    Empty,
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
    /// Everything until the peer closes (responses only).
    UntilClose,
}

impl Framing {
    /// The framing of a request. Anything that two readers could understand differently is
    /// refused: both length and coding, repeated or unclear lengths, other codings.
    pub(crate) fn of_request(headers: &HeaderMap, minor: u8) -> Result<Self, Malformed> {
        match (coding(headers)?, length(headers)?) {
            (true, Some(_)) => Err(Malformed::Length),
            (true, None) if minor == 0 => Err(Malformed::Length),
            (true, None) => Ok(Self::Chunked),
            (false, Some(length)) => Ok(Self::Length(length)),
            (false, None) => Ok(Self::Empty),
        }
    }

    /// The framing of the response to a request; `head_only` when that was a `HEAD`.
    pub(crate) fn of_response(
        status: StatusCode,
        headers: &HeaderMap,
        minor: u8,
        head_only: bool,
    ) -> Result<Self, Malformed> {
        let (chunked, length) = (coding(headers)?, length(headers)?);
        if chunked && (length.is_some() || minor == 0) {
            return Err(Malformed::Length);
        }
        if head_only || !may_have_body(status) {
            return Ok(Self::Empty);
        }
        Ok(match (chunked, length) {
            (true, _) => Self::Chunked,
            (false, Some(length)) => Self::Length(length),
            (false, None) => Self::UntilClose,
        })
    }
}

/// Whether a response with this status can have a body.
pub(crate) fn may_have_body(status: StatusCode) -> bool {
    !status.is_informational()
        && status != StatusCode::NO_CONTENT
        && status != StatusCode::NOT_MODIFIED
}

/// Whether the body is chunked.
fn coding(headers: &HeaderMap) -> Result<bool, Malformed> {
    let mut values = headers.get_all("transfer-encoding").bytes();
    match (values.next(), values.next()) {
        (None, _) => Ok(false),
        (Some(_), Some(_)) => Err(Malformed::Length),
        (Some(value), None) if value.eq_ignore_ascii_case(b"chunked") => Ok(true),
        (Some(_), None) => Err(Malformed::Coding),
    }
}

fn length(headers: &HeaderMap) -> Result<Option<u64>, Malformed> {
    let mut values = headers.get_all("content-length").bytes();
    let Some(digits) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Malformed::Length);
    }
    // No sign, and half the range: the others' numbers often have one.
    let length = digits.iter().try_fold(0_i64, |length, digit| {
        let value = i64::from(digit.checked_sub(b'0')?);
        length
            .checked_mul(10)?
            .checked_add(value)
            .filter(|_| value < 10)
    });
    match length {
        Some(length) if !digits.is_empty() => Ok(Some(length.unsigned_abs())),
        _ => Err(Malformed::Length),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect::<Vec<_>>()
            .into_iter()
            .fold(HeaderMap::new(), |mut map, (name, value)| {
                map.append(name, value);
                map
            })
    }

    const TE: &str = "transfer-encoding";
    const CL: &str = "content-length";

    #[test]
    fn requests_that_could_be_read_twice_are_refused() {
        let of = |lines: &[_]| Framing::of_request(&headers(lines), 1);
        assert_eq!(of(&[(CL, "5"), (TE, "chunked")]), Err(Malformed::Length));
        assert_eq!(of(&[(CL, "5"), (CL, "5")]), Err(Malformed::Length));
        assert_eq!(of(&[(CL, "5, 5")]), Err(Malformed::Length));
        assert_eq!(of(&[(CL, "+5")]), Err(Malformed::Length));
        assert_eq!(of(&[(CL, "")]), Err(Malformed::Length));
        assert_eq!(of(&[(CL, "99999999999999999999")]), Err(Malformed::Length));
        assert_eq!(of(&[(CL, "9223372036854775808")]), Err(Malformed::Length));
        assert_eq!(
            of(&[(TE, "chunked"), (TE, "chunked")]),
            Err(Malformed::Length)
        );
        assert_eq!(of(&[(TE, "gzip, chunked")]), Err(Malformed::Coding));
        assert_eq!(of(&[(TE, "xchunked")]), Err(Malformed::Coding));
        assert_eq!(
            Framing::of_request(&headers(&[(TE, "chunked")]), 0),
            Err(Malformed::Length)
        );
    }

    #[test]
    fn clear_requests_are_framed() {
        let of = |lines: &[_]| Framing::of_request(&headers(lines), 1).unwrap();
        assert_eq!(of(&[]), Framing::Empty);
        assert_eq!(of(&[(CL, "05")]), Framing::Length(5));
        assert_eq!(of(&[(TE, "Chunked")]), Framing::Chunked);
    }

    #[test]
    fn responses_without_body_ignore_their_length() {
        let of = |status: u16, head_only| {
            Framing::of_response(
                StatusCode::from_u16(status).unwrap(),
                &headers(&[(CL, "7")]),
                1,
                head_only,
            )
            .unwrap()
        };
        assert_eq!(of(200, false), Framing::Length(7));
        assert_eq!(of(200, true), Framing::Empty);
        assert_eq!(of(204, false), Framing::Empty);
        assert_eq!(of(304, false), Framing::Empty);
        assert_eq!(
            Framing::of_response(StatusCode::OK, &HeaderMap::new(), 1, false).unwrap(),
            Framing::UntilClose
        );
    }
}
