//! Reading the heads of requests and responses.

use std::mem::MaybeUninit;
use std::ops::Range;

use bytes::{Buf, BytesMut};
use http::{HeaderName, Method, StatusCode};
use keelgate_plugins::HeaderMap;
use smallvec::SmallVec;

use super::Malformed;
use super::hop::Said;
use super::name::Letters;

/// Header lines in one head at most; httparse needs the room before it reads.
const MAX_LINES: usize = 256;

/// Longest name that the `http` crate takes, in bytes.
const MAX_NAME: usize = 65_535;

/// Room for headers that the phases add in most cases: how many, and how many bytes of them.
/// Upstreams are told most of theirs without a map.
const ADDED_TO_REQUESTS: (usize, usize) = (2, 0);
const ADDED_TO_RESPONSES: (usize, usize) = (6, 256);

/// A reason phrase; the usual ones need no memory of their own.
pub(crate) type Reason = SmallVec<[u8; 24]>;

/// Limits of a head, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Longest single line.
    pub(crate) line: usize,
    /// Longest head.
    pub(crate) head: usize,
}

/// The head of a request.
#[derive(Debug)]
pub(crate) struct RequestHead {
    pub(crate) method: Method,
    /// As received: text, and nothing that ends a line.
    pub(crate) target: String,
    /// 0 or 1.
    pub(crate) minor: u8,
    pub(crate) headers: HeaderMap,
    /// Whether some header name contains an underscore.
    pub(crate) underscores: bool,
    /// How long it is on the wire, in bytes.
    pub(crate) length: usize,
}

/// The head of a response.
#[derive(Debug)]
pub(crate) struct ResponseHead {
    pub(crate) status: StatusCode,
    /// As received; may be empty.
    pub(crate) reason: Reason,
    /// 0 or 1.
    pub(crate) minor: u8,
    /// Without `Connection`.
    pub(crate) headers: HeaderMap,
    pub(crate) connection: Said,
}

impl RequestHead {
    /// Takes a request head from the start of `input`; none when it is not there whole yet.
    ///
    /// Header names with characters other than letters, digits, `-` and `_` are left out.
    pub(crate) fn take(input: &mut BytesMut, limits: Limits) -> Result<Option<Self>, Malformed> {
        let empty = empty_lines(input);
        if empty >= limits.line {
            return Err(Malformed::LineTooLong);
        }
        // Empty lines alone are kept, so that they have an end.
        if matches!(input[empty..], [] | [b'\r']) {
            return Ok(None);
        }
        input.advance(empty);

        let mut lines = [const { MaybeUninit::uninit() }; MAX_LINES];
        let mut request = httparse::Request::new(&mut []);
        let mut config = httparse::ParserConfig::default();
        config.allow_multiple_spaces_in_request_line_delimiters(true);
        let parsed = config.parse_request_with_uninit_headers(&mut request, input, &mut lines);
        let length = match parsed {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => {
                return within_limits(input, limits).map(|()| None);
            }
            // Which version it is, the end of its line tells.
            Err(httparse::Error::Version) if memchr::memchr(b'\n', input).is_none() => {
                return within_limits(input, limits).map(|()| None);
            }
            Err(error) => {
                if let Some(minor) = newer_minor(input) {
                    // It means the same to who knows only the older one.
                    input[minor] = b'1';
                    return Self::take(input, limits);
                }
                within_limits(input, limits)?;
                return Err(match error {
                    httparse::Error::Version => version_error(input),
                    httparse::Error::TooManyHeaders => Malformed::HeaderTooLarge,
                    _ => Malformed::Head,
                });
            }
        };
        let base = input.as_ptr() as usize;
        let (Some(method), Some(path), Some(minor)) =
            (request.method, request.path, request.version)
        else {
            return Err(Malformed::Head);
        };
        if !is_plain_method(method) {
            return Err(Malformed::Head);
        }
        if length > limits.line && !first_line_fits(input, limits) {
            return Err(Malformed::LineTooLong);
        }
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| Malformed::Head)?;
        if request
            .headers
            .iter()
            .any(|header| decides(header.name) && has_tab_around(input, base, header.value))
        {
            return Err(Malformed::Head);
        }
        if length > limits.head {
            return Err(Malformed::HeaderTooLarge);
        }
        let head = &input[..length];
        let (headers, underscores) =
            headers_of(head, request.headers, limits, ADDED_TO_REQUESTS, None)?;
        let target = path.to_owned();
        input.advance(length);
        Ok(Some(Self {
            method,
            target,
            minor,
            headers,
            underscores,
            length,
        }))
    }
}

impl ResponseHead {
    /// Takes a response head from the start of `input`; none when it is not there whole yet.
    pub(crate) fn take(input: &mut BytesMut, limits: Limits) -> Result<Option<Self>, Malformed> {
        let mut lines = [const { MaybeUninit::uninit() }; MAX_LINES];
        let mut response = httparse::Response::new(&mut []);
        let mut config = httparse::ParserConfig::default();
        config.allow_spaces_after_header_name_in_responses(false);
        let parsed = config.parse_response_with_uninit_headers(&mut response, input, &mut lines);
        let length = match parsed {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if input.len() > limits.head => {
                return Err(Malformed::HeaderTooLarge);
            }
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(Malformed::Head),
        };
        let (Some(code), Some(minor)) = (response.code, response.version) else {
            return Err(Malformed::Head);
        };
        let status = StatusCode::from_u16(code).map_err(|_| Malformed::Head)?;
        // httparse gives "" for a reason that is not plain text.
        let reason = Reason::from_slice(response.reason.unwrap_or("").as_bytes());
        let limits = Limits {
            line: limits.head,
            ..limits
        };
        if length > limits.head {
            return Err(Malformed::HeaderTooLarge);
        }
        let head = &input[..length];
        let mut connection = Said::default();
        let apart = Some(&mut connection);
        let (headers, _) = headers_of(head, response.headers, limits, ADDED_TO_RESPONSES, apart)?;
        input.advance(length);
        Ok(Some(Self {
            status,
            reason,
            minor,
            headers,
            connection,
        }))
    }
}

/// The offsets of `part` in the buffer that starts at `base`.
fn range_of(base: usize, part: &[u8]) -> Range<usize> {
    let start = part.as_ptr() as usize - base;
    start..start + part.len()
}

/// Methods that are passed on; the others are more likely a mistake, or a trick, than a method.
pub(crate) fn is_plain_method(method: &str) -> bool {
    method
        .bytes()
        .all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'_' | b'-'))
}

/// Headers that decide where a request goes and where it ends.
fn decides(name: &str) -> bool {
    ["host", "content-length", "transfer-encoding"]
        .iter()
        .any(|decisive| name.eq_ignore_ascii_case(decisive))
}

/// Whether tabs surround a value. Some servers take them for a part of it; a host or a framing that
/// is read in two ways is refused.
fn has_tab_around(input: &[u8], base: usize, value: &[u8]) -> bool {
    if value.is_empty() {
        return false;
    }
    let blank = |byte: &&u8| matches!(byte, b' ' | b'\t');
    let Range { start, end } = range_of(base, value);
    let before = input[..start].iter().rev().take_while(blank);
    let after = input[end..].iter().take_while(blank);
    before.chain(after).any(|byte| *byte == b'\t')
}

/// The headers that are passed on, with room for those that phases add; and whether some name
/// contains an underscore. They lie in `head`. What `Connection` says is taken `apart` if it is to be.
fn headers_of(
    head: &[u8],
    lines: &[httparse::Header<'_>],
    limits: Limits,
    (added, bytes): (usize, usize),
    mut apart: Option<&mut Said>,
) -> Result<(HeaderMap, bool), Malformed> {
    let base = head.as_ptr() as usize;
    let mut headers = HeaderMap::of_head(head, lines.len(), added, bytes);
    let mut underscores = false;
    for line in lines {
        let letters = Letters::of(line.name.as_bytes());
        if !letters.are_plain() || letters.have_underscore() && is_disguised(line.name) {
            continue;
        }
        if line.name.len() + line.value.len() + 4 > limits.line {
            return Err(Malformed::HeaderTooLarge);
        }
        if line.name.len() > MAX_NAME {
            return Err(Malformed::Head);
        }
        if let Some(said) = &mut apart
            && line.name.eq_ignore_ascii_case("connection")
        {
            said.hear(line.value);
            continue;
        }
        underscores |= letters.have_underscore();
        // An empty value lies anywhere.
        let value = match line.value {
            [] => 0..0,
            value => range_of(base, value),
        };
        headers.push_read(range_of(base, line.name.as_bytes()), value);
    }
    Ok((headers, underscores))
}

/// Names that are passed on: the others (`X.Dot`, `X!Bang`) mean different things to different
/// servers.
pub(crate) fn is_plain_name(name: &str) -> bool {
    Letters::of(name.as_bytes()).are_plain()
}

/// Names that a server which takes underscores for dashes reads as framing.
fn is_disguised(name: &str) -> bool {
    matches!(name.len(), 14 | 17) && name.contains('_') && decides(&name.replace('_', "-"))
}

/// Takes away the names that are left out here from fields that came in another way.
pub(crate) fn drop_odd_names(headers: &mut HeaderMap) {
    let is_odd = |name: &&HeaderName| !is_plain_name(name.as_str()) || is_disguised(name.as_str());
    let odd: SmallVec<[HeaderName; 2]> = headers.keys().filter(is_odd).cloned().collect();
    for name in odd {
        headers.remove(name);
    }
}

/// The length of the empty lines at the start.
fn empty_lines(input: &[u8]) -> usize {
    let mut rest = input;
    while let [b'\n', tail @ ..] | [b'\r', b'\n', tail @ ..] = rest {
        rest = tail;
    }
    input.len() - rest.len()
}

/// Whether more of an unfinished request head may be read.
fn within_limits(input: &[u8], limits: Limits) -> Result<(), Malformed> {
    if !first_line_fits(input, limits) {
        Err(Malformed::LineTooLong)
    } else if input.len() > limits.head {
        Err(Malformed::HeaderTooLarge)
    } else {
        Ok(())
    }
}

/// Whether the first line, with its line break, is within the limit, as far as it is there.
fn first_line_fits(input: &[u8], limits: Limits) -> bool {
    memchr::memchr(b'\n', input).unwrap_or(input.len()) < limits.line
}

/// Where the request line says `HTTP/1.2` up to `HTTP/1.9`: the place of the last digit.
fn newer_minor(input: &[u8]) -> Option<usize> {
    let end = memchr::memchr(b'\n', input)?;
    let end = end - usize::from(input[..end].ends_with(b"\r"));
    let digit = end.checked_sub(1)?;
    let is_newer = input[..digit].ends_with(b" HTTP/1.") && (b'2'..=b'9').contains(&input[digit]);
    is_newer.then_some(digit)
}

/// A well-formed version that is not HTTP/1 is told apart from nonsense.
fn version_error(input: &[u8]) -> Malformed {
    let line = input.split(|byte| *byte == b'\n').next().unwrap_or(input);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let version = line.rsplit(|byte| *byte == b' ').next().unwrap_or(line);
    match version.strip_prefix(b"HTTP/") {
        Some([major @ b'1'..=b'9', b'.', minor @ ..])
            if !minor.is_empty() && minor.iter().all(u8::is_ascii_digit) && *major != b'1' =>
        {
            Malformed::Version
        }
        _ => Malformed::Head,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits {
        line: 8192,
        head: 32768,
    };

    fn take(text: &str) -> Result<Option<RequestHead>, Malformed> {
        RequestHead::take(&mut BytesMut::from(text), LIMITS)
    }

    #[test]
    fn a_request_is_read_and_the_rest_left() {
        let mut input = BytesMut::from("\r\nGET  /a?b HTTP/1.1\r\nHost: h\r\nX_Y:  v \r\n\r\nrest");
        let head = RequestHead::take(&mut input, LIMITS).unwrap().unwrap();
        assert_eq!(head.method, Method::GET);
        assert_eq!(head.target, "/a?b");
        assert_eq!(head.minor, 1);
        assert_eq!(head.headers["host"], "h");
        assert_eq!(head.headers["x_y"], "v");
        assert!(head.underscores);
        assert_eq!(&input[..], b"rest");
    }

    #[test]
    fn a_newer_minor_version_is_read_as_the_known_one() {
        let whole = "GET / HTTP/1.2\r\nHost: h\r\n\r\n";
        for cut in 0..whole.len() {
            let mut input = BytesMut::from(&whole[..cut]);
            assert!(RequestHead::take(&mut input, LIMITS).unwrap().is_none());
            input.extend_from_slice(&whole.as_bytes()[cut..]);
            let head = RequestHead::take(&mut input, LIMITS).unwrap().unwrap();
            assert_eq!(head.minor, 1);
        }
    }

    #[test]
    fn names_that_servers_read_differently_are_left_out() {
        let lines = "Host: h\r\nX.Dot: 1\r\nX!Bang: 1\r\nContent_Length: 1\r\n\
                     transfer_encoding: chunked\r\nTransfer-Encoding_: 1\r\n";
        let head = take(&format!("GET / HTTP/1.1\r\n{lines}\r\n"))
            .unwrap()
            .unwrap();
        let names: Vec<_> = head.headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["host", "transfer-encoding_"]);
    }

    #[test]
    fn nonsense_is_refused_with_its_kind() {
        let refused = |text: &str| take(text).unwrap_err();
        assert_eq!(refused("get / HTTP/1.1\r\n\r\n"), Malformed::Head);
        assert_eq!(refused("GET / HTTP/2.0\r\n\r\n"), Malformed::Version);
        assert_eq!(refused("GET / HTTP/0.9\r\n\r\n"), Malformed::Head);
        for line in [
            "Host : h",
            "Host: h\t",
            "Host:\th",
            "Host: h \t",
            "Content-Length:\t1",
            "Transfer-Encoding: chunked\t",
        ] {
            let request = format!("GET / HTTP/1.1\r\n{line}\r\n\r\n");
            assert_eq!(refused(&request), Malformed::Head, "{line:?}");
        }
        assert_eq!(
            refused("GET / HTTP/1.1\r\n Host: h\r\n\r\n"),
            Malformed::Head
        );
        assert_eq!(
            refused("GET / HTTP/1.1\r\nX: 1\rY: 2\r\n\r\n"),
            Malformed::Head
        );
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(9000));
        assert_eq!(refused(&long), Malformed::LineTooLong);
        let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(9000));
        assert_eq!(refused(&long), Malformed::HeaderTooLarge);
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: 1\r\n".repeat(300));
        assert_eq!(refused(&many), Malformed::HeaderTooLarge);
    }

    #[test]
    fn empty_lines_before_a_request_have_an_end() {
        assert!(take("\r\n\n\r\nGET / HTTP/1.1\r\n\r\n").unwrap().is_some());
        assert!(take(&"\r\n".repeat(1000)).unwrap().is_none());
        assert!(take("\r\n\r").unwrap().is_none());
        assert_eq!(
            take("\rGET / HTTP/1.1\r\n\r\n").unwrap_err(),
            Malformed::Head
        );
        assert_eq!(
            take(&"\n".repeat(LIMITS.line)).unwrap_err(),
            Malformed::LineTooLong
        );
    }

    #[test]
    fn an_endless_line_is_refused_before_it_ends() {
        assert_eq!(take(&"G".repeat(9000)).unwrap_err(), Malformed::LineTooLong);
        let endless = format!("GET /{}", "x".repeat(9000));
        assert_eq!(take(&endless).unwrap_err(), Malformed::LineTooLong);
    }

    #[test]
    fn a_line_is_as_long_whether_it_is_whole_or_not() {
        let of = |spaces: usize| format!("GET{}/ HTTP/1.1\r\n\r\n", " ".repeat(spaces));
        let longest = LIMITS.line - "GET/ HTTP/1.1\r\n".len();
        assert!(take(&of(longest)).unwrap().is_some());
        let long = of(longest + 1);
        assert_eq!(take(&long).unwrap_err(), Malformed::LineTooLong);
        assert_eq!(
            take(&long[..LIMITS.line]).unwrap_err(),
            Malformed::LineTooLong
        );
        assert!(take(&of(longest)[..LIMITS.line - 1]).unwrap().is_none());
    }

    #[test]
    fn a_response_keeps_its_reason() {
        let whole = "HTTP/1.0 200 Fine By Me\r\nETag: x\r\nCONNECTION: close, etag\r\n\r\n";
        let mut input = BytesMut::from(whole);
        let head = ResponseHead::take(&mut input, LIMITS).unwrap().unwrap();
        assert!(head.connection.close && head.headers.keys().eq(["etag"]));
        assert_eq!(head.connection.named, ["etag"]);
        assert_eq!((head.status.as_u16(), head.minor), (200, 0));
        assert_eq!(&head.reason[..], b"Fine By Me");
        let mut input = BytesMut::from("HTTP/1.1 404 \r\n\r\n");
        let head = ResponseHead::take(&mut input, LIMITS).unwrap().unwrap();
        assert!(head.reason.is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = RequestHead::take(&mut BytesMut::from(&bytes[..]), LIMITS);
            let _ = ResponseHead::take(&mut BytesMut::from(&bytes[..]), LIMITS);
        }

        #[test]
        fn a_head_cut_anywhere_is_incomplete(
            value in "[a-z ]{0,20}",
            cut in 0.0..1.0f64,
        ) {
            let whole = format!("GET /p HTTP/1.1\r\nHost: h\r\nX-V: {value}\r\n\r\n");
            let at = (whole.len() as f64 * cut) as usize;
            let mut input = BytesMut::from(&whole[..at]);
            prop_assert!(RequestHead::take(&mut input, LIMITS).unwrap().is_none());
            input.extend_from_slice(&whole.as_bytes()[at..]);
            let head = RequestHead::take(&mut input, LIMITS).unwrap().unwrap();
            prop_assert_eq!(head.headers["x-v"].as_bytes(), value.trim().as_bytes());
        }
    }
}
