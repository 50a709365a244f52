//! The access log: what is told about a request after its end.

mod format;

use std::fmt;
use std::net::IpAddr;
use std::ops::Range;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use keelgate_plugins::HeaderMap;
use keelgate_plugins::exchange::{ClientCertificate, TlsSession};

pub use format::{Escape, LogFormat, UnknownVariable};

/// What is told about a request after its end.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    /// The client, after trusted proxies were resolved.
    pub client: IpAddr,
    /// When the request's head had been read.
    pub received_at: SystemTime,
    /// Method as received.
    pub method: &'a str,
    /// Target as received.
    pub target: &'a str,
    /// `HTTP/1.1` and the like.
    pub version: &'a str,
    /// Status answered; 499 when the client went away before.
    pub status: u16,
    /// Bytes of the response body that were sent.
    pub body_bytes: u64,
    /// Bytes of the request that were received, without what frames its body.
    pub request_bytes: u64,
    /// Bytes of the response that were sent.
    pub sent_bytes: u64,
    /// `Referer`, if sent.
    pub referer: Option<&'a str>,
    /// `User-Agent`, if sent.
    pub user_agent: Option<&'a str>,
    /// The request's id.
    pub request_id: &'a str,
    /// Host that was asked for, without port.
    pub host: &'a str,
    /// Port that was asked, after trusted proxies were resolved.
    pub port: u16,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Headers of the request.
    pub headers: &'a HeaderMap,
    /// Headers of the response.
    pub sent: &'a HeaderMap,
    /// Time from the request's head to the end of the response.
    pub elapsed: Duration,
    /// Where the request went, if it did.
    pub upstream: Option<(&'a str, u16)>,
    /// What was answered there.
    pub upstream_status: Option<u16>,
    /// Time until it was answered there.
    pub upstream_time: Option<Duration>,
    /// What it came on.
    pub connection: ConnectionFacts<'a>,
    /// Name of the route.
    pub route: Option<&'a str>,
    /// Name of the service.
    pub service: Option<&'a str>,
    /// Name of the consumer.
    pub consumer: Option<&'a str>,
}

/// The connection that a request came on.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionFacts<'a> {
    /// Its number, among those of the process.
    pub number: u64,
    /// Who has connected, whatever trusted proxies say.
    pub peer: IpAddr,
    /// Whom a PROXY protocol header named.
    pub told: Option<IpAddr>,
    /// Name in the client's TLS handshake.
    pub server_name: Option<&'a str>,
    /// How it is encrypted.
    pub session: Option<TlsSession>,
    /// What the client has shown of itself.
    pub certificate: Option<&'a ClientCertificate>,
}

impl Record<'_> {
    /// The name that the client gives with a password (RFC 7617), whether that was looked at or not.
    pub(crate) fn user(&self) -> Option<String> {
        let given = self.headers.get_bytes("authorization")?;
        let (scheme, given) = given.split_at_checked(6)?;
        if !scheme.eq_ignore_ascii_case(b"basic ") {
            return None;
        }
        let mut given = BASE64.decode(given.trim_ascii()).ok()?;
        given.truncate(memchr::memchr(b':', &given)?);
        String::from_utf8(given)
            .ok()
            .filter(|user| !user.is_empty())
    }
}

/// Told about every request, on the core that served it. Must not block.
pub trait AccessLog: Send + Sync {
    /// One request has ended.
    fn record(&self, record: &Record<'_>);

    /// Opens its file anew, after something has moved it away. May block.
    fn reopen(&self) {}
}

/// The record as one line in Kong's format, without the line's end.
impl fmt::Display for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} - {} [{}] \"{} {} {}\" {} {} \"{}\" \"{}\" kong_request_id: \"{}\"",
            self.client,
            Escaped(self.user().as_deref().unwrap_or("-")),
            Stamp(self.received_at),
            Escaped(self.method),
            Escaped(self.target),
            self.version,
            self.status,
            self.body_bytes,
            Escaped(self.referer.unwrap_or("-")),
            Escaped(self.user_agent.unwrap_or("-")),
            self.request_id,
        )
    }
}

/// `23/Nov/2026:05:39:28 +0000`; always UTC, so that nodes agree.
pub(crate) struct Stamp(pub(crate) SystemTime);

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = httpdate::fmt_http_date(self.0);
        let Date {
            day,
            month,
            year,
            time,
        } = Date::of(&date);
        write!(f, "{day}/{month}/{year}:{time} +0000")
    }
}

/// The parts of a date such as `Mon, 23 Nov 2026 05:39:28 GMT`.
struct Date<'a> {
    day: &'a str,
    month: &'a str,
    year: &'a str,
    time: &'a str,
}

impl<'a> Date<'a> {
    fn of(date: &'a str) -> Self {
        let part = |range: Range<usize>| date.get(range).unwrap_or("");
        Self {
            day: part(5..7),
            month: part(8..11),
            year: part(12..16),
            time: part(17..25),
        }
    }
}

/// Text from clients, with quotes, backslashes and control characters written as `\xHH`, so that
/// no client can forge lines.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if c.is_control() || matches!(c, '"' | '\\') {
                write!(f, "\\x{:02X}", u32::from(c))?;
            } else {
                fmt::Write::write_char(f, c)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request with these headers.
    pub(super) fn record(headers: &HeaderMap) -> Record<'_> {
        Record {
            client: IpAddr::from([127, 0, 0, 1]),
            received_at: SystemTime::UNIX_EPOCH + Duration::from_secs(1),
            method: "GET",
            target: "/a?b",
            version: "HTTP/1.1",
            status: 200,
            body_bytes: 12,
            request_bytes: 34,
            sent_bytes: 56,
            referer: None,
            user_agent: Some("x\" \n"),
            request_id: "abc",
            host: "h",
            port: 80,
            scheme: "http",
            headers,
            sent: headers,
            elapsed: Duration::ZERO,
            upstream: None,
            upstream_status: None,
            upstream_time: None,
            connection: ConnectionFacts {
                number: 7,
                peer: IpAddr::from([192, 0, 2, 1]),
                told: None,
                server_name: None,
                session: None,
                certificate: None,
            },
            route: None,
            service: None,
            consumer: None,
        }
    }

    #[test]
    fn a_request_becomes_one_line_that_clients_cannot_forge() {
        let none = HeaderMap::new();
        let record = record(&none);
        assert_eq!(
            record.to_string(),
            "127.0.0.1 - - [01/Jan/1970:00:00:01 +0000] \"GET /a?b HTTP/1.1\" 200 12 \"-\" \
             \"x\\x22 \\x0A\" kong_request_id: \"abc\""
        );
    }

    #[test]
    fn the_user_of_a_password_is_told() {
        let line = |authorization: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("authorization", authorization.parse().unwrap());
            record(&headers).to_string()
        };
        let told = |authorization: &str| {
            let line = line(authorization);
            let user = line.strip_prefix("127.0.0.1 - ").unwrap();
            user.split_once(" [").unwrap().0.to_owned()
        };
        // ada:secret
        assert_eq!(told("Basic YWRhOnNlY3JldA=="), "ada");
        assert_eq!(told("bAsic  YWRhOnNlY3JldA=="), "ada");
        // a"\n]:x
        assert_eq!(told("Basic YSIKXTp4"), "a\\x22\\x0A]");
        for none in [
            "Basic YWRh",
            "Basic OnNlY3JldA==",
            "Basic ???",
            "Basic",
            "Bearer YWRhOnNlY3JldA==",
        ] {
            assert_eq!(told(none), "-", "{none}");
        }
    }
}
