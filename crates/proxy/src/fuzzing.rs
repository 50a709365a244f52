//! What holds of the wire for all bytes: the properties behind the fuzz targets.
//!
//! Each function panics when its property does not hold.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, SystemTime};

use bytes::BytesMut;
use http::{HeaderName, HeaderValue, StatusCode};
use keelgate_plugins::HeaderMap;

use crate::access_log::{ConnectionFacts, Escape, LogFormat, Record};
use crate::error_page;
use crate::http1::chunked::Chunked;
use crate::http1::head::{Limits, is_plain_name};
use crate::http1::{Framing, Malformed, Piece, RequestHead, ResponseHead, encode, trailers};
use crate::net::proxy_protocol;
use crate::phases::real_ip;
use crate::settings::{RealIp, Settings};

/// Small, so that short inputs reach them.
const LIMITS: Limits = Limits {
    line: 64,
    head: 512,
};

/// A request head means the same however its bytes arrive, and when it is written down again; the
/// body that follows it has one end. `cut` is where the first packet ends.
pub fn request_head(bytes: &[u8], cut: usize) {
    let whole = in_two(bytes, cut, |input| RequestHead::take(input, LIMITS));
    let Ok(Some((head, rest))) = whole else {
        return;
    };
    assert!(bytes.ends_with(&rest), "something after the head was taken");
    if let Ok(framing) = Framing::of_request(&head.headers, head.minor) {
        let told = told_framing(&bytes[..bytes.len() - rest.len()]);
        match framing {
            Framing::Empty => assert_eq!(told, [""; 0]),
            Framing::Chunked => assert_eq!(told, ["transfer-encoding chunked"]),
            Framing::Length(length) => {
                assert_eq!(told.len(), 1);
                let digits = told[0].strip_prefix("content-length ").expect("a length");
                assert_eq!(digits.parse(), Ok(length));
            }
            Framing::UntilClose => panic!("no request is framed so"),
        }
    }
    let mut written = format!("{} ", head.method).into_bytes();
    written.extend_from_slice(head.target.as_bytes());
    written.extend_from_slice(format!(" HTTP/1.{}\r\n", head.minor).as_bytes());
    encode::lines(&head.headers, |_| false, &mut written);
    written.extend_from_slice(b"\r\n");
    let generous = Limits {
        line: usize::MAX,
        head: usize::MAX,
    };
    let again = RequestHead::take(&mut BytesMut::from(&written[..]), generous);
    let again = again.ok().flatten().expect("what was written can be read");
    assert_eq!(again.method, head.method);
    assert_eq!(again.target, head.target);
    assert_eq!(again.minor, head.minor);
    assert_eq!(again.headers, head.headers);
}

/// The same of a response head.
pub fn response_head(bytes: &[u8], cut: usize) {
    let whole = in_two(bytes, cut, |input| ResponseHead::take(input, LIMITS));
    let Ok(Some((head, rest))) = whole else {
        return;
    };
    assert!(bytes.ends_with(&rest), "something after the head was taken");
    let told = told_framing(&bytes[..bytes.len() - rest.len()]);
    for head_only in [false, true] {
        let framing = Framing::of_response(head.status, &head.headers, head.minor, head_only);
        if head_only {
            assert!(matches!(framing, Ok(Framing::Empty) | Err(_)));
        }
        match framing {
            Ok(Framing::UntilClose) => assert_eq!(told, [""; 0]),
            Ok(_) => assert!(told.len() <= 1),
            Err(_) => {}
        }
    }
    let mut written = Vec::new();
    encode::status_line(head.status, Some(&head.reason), &mut written);
    encode::lines(&head.headers, |_| false, &mut written);
    written.extend_from_slice(b"\r\n");
    let generous = Limits {
        line: usize::MAX,
        head: usize::MAX,
    };
    let again = ResponseHead::take(&mut BytesMut::from(&written[..]), generous);
    let again = again.ok().flatten().expect("what was written can be read");
    assert_eq!(again.status, head.status);
    assert_eq!(again.reason, head.reason);
    assert_eq!(again.headers, head.headers);
}

/// A chunked body has the same data and the same end however its bytes arrive, and when it is
/// written down again.
pub fn chunked(bytes: &[u8], cut: usize) {
    let cut = cut.min(bytes.len());
    let whole = decode(&[bytes]);
    let parted = decode(&[&bytes[..cut], &bytes[cut..]]);
    assert_eq!(whole, parted, "the packets made a difference");
    let (data, Ok(true)) = whole else {
        return;
    };
    assert_eq!(
        lenient(bytes).as_ref(),
        Some(&data),
        "others find another body"
    );
    let mut written = Vec::new();
    if !data.is_empty() {
        encode::chunk_size(data.len(), &mut written);
        written.extend_from_slice(&data);
        written.extend_from_slice(b"\r\n");
    }
    written.extend_from_slice(encode::LAST_CHUNK);
    assert_eq!(decode(&[&written]), (data, Ok(true)));
}

/// The fields after a body are plain, none of them is one that belongs into a head, and they are the
/// same when they are written down again.
pub fn trailer_fields(bytes: &[u8]) {
    let Ok(Some(fields)) = trailers::parse(bytes) else {
        return;
    };
    for name in fields.keys() {
        assert!(is_plain_name(name.as_str()));
    }
    for forbidden in [
        "content-length",
        "transfer-encoding",
        "host",
        "authorization",
    ] {
        assert!(!fields.contains_key(forbidden));
    }
    let mut written = Vec::new();
    trailers::write_end(Some(&fields), &mut written);
    let lines = written.strip_prefix(b"0\r\n").expect("the last chunk");
    assert_eq!(trailers::parse(lines), Ok(Some(fields)));
}

/// The lines of a head that some reader, however lenient, takes for framing: it ends lines where it
/// can, and strips from names and values what is no letter and no digit.
fn told_framing(head: &[u8]) -> Vec<String> {
    let strip = |part: &[u8]| {
        let text = String::from_utf8_lossy(part).to_ascii_lowercase();
        text.trim_matches(|c: char| !c.is_ascii_graphic())
            .to_owned()
    };
    head.split(|byte| matches!(byte, b'\r' | b'\n'))
        .filter(|line| !line.is_empty())
        .skip(1)
        .filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let (name, value) = (strip(&line[..colon]), strip(&line[colon + 1..]));
            matches!(name.as_str(), "content-length" | "transfer-encoding")
                .then(|| format!("{name} {value}"))
        })
        .collect()
}

/// The data of a chunked body as the most lenient of servers reads it; none without an end.
fn lenient(bytes: &[u8]) -> Option<Vec<u8>> {
    fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let line = &bytes[..end];
        Some((line.strip_suffix(b"\r").unwrap_or(line), &bytes[end + 1..]))
    }
    let mut rest = bytes;
    let mut data = Vec::new();
    loop {
        let (size, after) = line(rest)?;
        let size = String::from_utf8_lossy(size);
        let digits = size
            .find(|c: char| !c.is_ascii_hexdigit())
            .unwrap_or(size.len());
        let size = usize::from_str_radix(&size[..digits], 16).ok()?;
        if size == 0 {
            return Some(data);
        }
        data.extend_from_slice(after.get(..size)?);
        rest = line(&after[size..])?.1;
    }
}

/// The data, and whether the end was seen.
fn decode(parts: &[&[u8]]) -> (Vec<u8>, Result<bool, Malformed>) {
    let mut decoder = Chunked::new();
    let mut input = BytesMut::new();
    let mut data = Vec::new();
    for part in parts {
        input.extend_from_slice(part);
        loop {
            match decoder.decode(&mut input) {
                Ok(Piece::Data(piece)) => data.extend_from_slice(&piece),
                Ok(Piece::More) => break,
                Ok(Piece::End) => return (data, Ok(true)),
                Err(error) => return (data, Err(error)),
            }
        }
    }
    (data, Ok(false))
}

/// A PROXY protocol header is the same whatever follows it, also nothing; and when the client that
/// it tells is written down in the other version.
pub fn proxy_header(bytes: &[u8]) {
    let Ok((length, client)) = proxy_protocol::taken(bytes) else {
        return;
    };
    let header = &bytes[..length];
    assert_eq!(proxy_protocol::taken(header), Ok((length, client)));
    for cut in 0..length {
        assert!(proxy_protocol::taken(&header[..cut]).is_err());
    }
    let Some(client) = client else {
        return;
    };
    let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
    let ip = client.ip();
    let line = format!("PROXY {family} {ip} {ip} {0} {0}\r\n", client.port());
    assert_eq!(
        proxy_protocol::taken(line.as_bytes()),
        Ok((line.len(), Some(client)))
    );
}

/// What a head is found to be when all bytes are there, with what follows it; compared with what it
/// is found to be when they come in two packets.
fn in_two<T>(
    bytes: &[u8],
    cut: usize,
    take: impl Fn(&mut BytesMut) -> Result<Option<T>, Malformed>,
) -> Result<Option<(T, Vec<u8>)>, Malformed> {
    let with_rest = |mut input: BytesMut| {
        let head = take(&mut input)?;
        Ok(head.map(|head| (head, input.to_vec())))
    };
    let whole = with_rest(BytesMut::from(bytes));
    let cut = cut.min(bytes.len());
    let mut input = BytesMut::from(&bytes[..cut]);
    match (take(&mut input), &whole) {
        (Ok(Some(_)), whole) => assert!(matches!(whole, Ok(Some(_))), "more bytes undid a head"),
        (Err(_), whole) => assert!(whole.is_err(), "more bytes mended a head"),
        (Ok(None), whole) => {
            input.extend_from_slice(&bytes[cut..]);
            match (with_rest(input), whole) {
                (Ok(Some((_, left))), Ok(Some((_, right)))) => assert_eq!(left, *right),
                (left, right) => assert_eq!(
                    left.map(|_| ()),
                    right.as_ref().map(|_| ()).map_err(|error| *error)
                ),
            }
        }
    }
    whole
}

/// No text of a client ends a line of the access log, or a string of JSON in it. `format` is read in every
/// way of escaping.
pub fn log_format(format: &str, sent: &str) {
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(sent.as_bytes()) {
        headers.insert("user-agent", value.clone());
        headers.insert("authorization", value);
    }
    let record = Record {
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        received_at: SystemTime::UNIX_EPOCH,
        method: sent,
        target: sent,
        version: "HTTP/1.1",
        status: 200,
        body_bytes: 0,
        request_bytes: 0,
        sent_bytes: 0,
        referer: Some(sent),
        user_agent: Some(sent),
        request_id: "id",
        host: sent,
        port: 80,
        scheme: "http",
        headers: &headers,
        sent: &headers,
        elapsed: Duration::ZERO,
        upstream: Some((sent, 80)),
        upstream_status: None,
        upstream_time: None,
        connection: ConnectionFacts {
            number: 1,
            peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
            told: None,
            server_name: Some(sent),
            session: None,
            certificate: None,
        },
        route: None,
        service: None,
        consumer: None,
    };
    let breaks = |text: &str| text.matches(['\n', '\r']).count();
    assert_eq!(breaks(&record.to_string()), 0);
    for escape in [Escape::Default, Escape::Json] {
        if let Ok(format_read) = LogFormat::parse(format, escape) {
            assert!(breaks(&format_read.line(&record)) <= breaks(format));
        }
    }
    let json = LogFormat::known("json").expect("every node knows it");
    let line = json.line(&record);
    serde_json::from_str::<serde_json::Value>(&line).expect("it is JSON whatever a client sends");
}

/// Nobody but a trusted peer names another client, and only one that it has named.
pub fn real_ip(lines: &str) {
    const NAME: HeaderName = HeaderName::from_static("x-forwarded-for");
    let mut headers = HeaderMap::new();
    for line in lines.lines() {
        if let Ok(value) = HeaderValue::from_str(line) {
            headers.append(NAME, value);
        }
    }
    let peer = IpAddr::from([192, 0, 2, 1]);
    for (trusted, recursive) in [
        ("192.0.2.0/24", true),
        ("0.0.0.0/0", true),
        ("192.0.2.1/32", false),
    ] {
        let mut settings = Settings {
            real_ip: RealIp::Header(NAME),
            real_ip_recursive: recursive,
            ..Settings::default()
        };
        assert_eq!(real_ip::resolve(&settings, peer, None, &headers), peer);
        settings.trusted_ips = vec![trusted.parse().expect("a network")];
        let client = real_ip::resolve(&settings, peer, None, &headers);
        let is_named = || {
            let hops = lines.split([',', ' ', '\t', '\n', '\r']);
            let mut known = hops.filter_map(|hop| {
                let bare = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']'));
                let address = bare.unwrap_or(hop).parse::<IpAddr>();
                address.ok().or_else(|| {
                    let with_port = hop.parse::<std::net::SocketAddr>();
                    with_port.ok().map(|address| address.ip())
                })
            });
            known.any(|hop| hop == client)
        };
        assert!(client == peer || is_named(), "{client}");
    }
}

/// Whatever a client accepts, it is told in one of the known forms what went wrong.
pub fn accepted_form(accept: &[u8]) {
    let mut headers = HeaderMap::new();
    let Ok(value) = HeaderValue::from_bytes(accept) else {
        return;
    };
    headers.insert("accept", value);
    let settings = Settings::default();
    let page = error_page::failed(&headers, StatusCode::NOT_FOUND, "id", &settings);
    let content_type = page.content_type.expect("a page says what it is");
    let known = [
        "text/html",
        "application/json",
        "application/xml",
        "text/plain",
    ];
    let told = content_type.as_bytes();
    let is_known = known.iter().any(|form| told.starts_with(form.as_bytes()));
    // Who speaks gRPC is told in other headers.
    assert!(is_known || told.is_empty());
    assert_eq!(page.body.is_empty(), told.is_empty());
}
