//! Lines of the access log in another form than Kong's: nginx's `log_format`.

use std::fmt::{self, Write as _};
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use http::HeaderName;
use keelgate_plugins::HeaderMap;

use super::{Date, Escaped, Record, Stamp};

/// The text of the format that is called `json`: one object a line.
const JSON: &str = concat!(
    r#"{"time":"$time_iso8601","client":"$remote_addr","method":"$request_method","#,
    r#""host":"$host","target":"$request_uri","protocol":"$server_protocol","scheme":"$scheme","#,
    r#""status":$status,"bytes":$body_bytes_sent,"seconds":$request_time,"#,
    r#""upstream_status":"$upstream_status","upstream_seconds":"$upstream_response_time","#,
    r#""route":"$kong_route","service":"$kong_service","consumer":"$kong_consumer","#,
    r#""referer":"$http_referer","user_agent":"$http_user_agent","#,
    r#""request_id":"$kong_request_id"}"#,
);

/// nginx's own format.
const COMBINED: &str = "$remote_addr - $remote_user [$time_local] \"$request\" $status \
                        $body_bytes_sent \"$http_referer\" \"$http_user_agent\"";

/// How text from clients is written, so that no client can forge lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// Quotes, backslashes and control characters as `\xHH`; what is missing as `-`.
    Default,
    /// As in JSON strings; what is missing as nothing.
    Json,
    /// As it is; what is missing as nothing.
    None,
}

/// A form of lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFormat {
    pieces: Vec<Piece>,
    escape: Escape,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Fact(Fact),
}

/// A variable of nginx, or one of this gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fact {
    Args,
    BodyBytes,
    Cipher,
    ClientIssuer,
    ClientSerial,
    ClientSubject,
    Connection,
    Consumer,
    Header(HeaderName),
    Host,
    Hostname,
    Method,
    Milliseconds,
    Path,
    Peer,
    Pid,
    Port,
    Protocol,
    ProxiedAddress,
    RemoteAddress,
    Request,
    RequestBytes,
    RequestId,
    RequestTime,
    Route,
    Scheme,
    SentBytes,
    SentHeader(HeaderName),
    ServerName,
    Service,
    Status,
    Target,
    TimeIso,
    TimeLocal,
    Upstream,
    UpstreamStatus,
    UpstreamTime,
    User,
    Verified,
    Version,
}

/// A variable that there is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown variable ${0}")]
pub struct UnknownVariable(pub String);

impl LogFormat {
    /// Reads a format: text with variables such as `$status` or `${http_referer}`.
    ///
    /// # Errors
    /// When there is no variable of a name.
    pub fn parse(text: &str, escape: Escape) -> Result<Self, UnknownVariable> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            if at > 0 {
                pieces.push(Piece::Text(rest[..at].to_owned()));
            }
            let after = &rest[at + 1..];
            let (name, after) = match after.strip_prefix('{').and_then(|a| a.split_once('}')) {
                Some(braced) => braced,
                None => {
                    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
                    let end = after.find(|c| !is_name(c)).unwrap_or(after.len());
                    after.split_at(end)
                }
            };
            let fact = Fact::of(name).ok_or_else(|| UnknownVariable(name.to_owned()))?;
            pieces.push(Piece::Fact(fact));
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self { pieces, escape })
    }

    /// A format that every node knows: `json` or `combined`.
    pub fn known(name: &str) -> Option<Self> {
        let (text, escape) = match name {
            "json" => (JSON, Escape::Json),
            "combined" => (COMBINED, Escape::Default),
            _ => return None,
        };
        Self::parse(text, escape).ok()
    }

    /// A request as one line, without the line's end.
    pub fn line(&self, record: &Record<'_>) -> String {
        let mut line = String::with_capacity(256);
        for piece in &self.pieces {
            let written = match piece {
                Piece::Text(text) => line.write_str(text),
                Piece::Fact(fact) => self.write(fact, record, &mut line),
            };
            // Text takes everything.
            debug_assert!(written.is_ok());
        }
        line
    }

    fn write(&self, fact: &Fact, record: &Record<'_>, out: &mut String) -> fmt::Result {
        let header = |headers: &HeaderMap, name: &HeaderName, out: &mut String| {
            let value = headers.get(name).and_then(|value| value.to_str().ok());
            self.text(value, out)
        };
        let (path, query) = match record.target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (record.target, None),
        };
        let session = record.connection.session;
        let shown = record.connection.certificate;
        match fact {
            Fact::Args => self.text(query, out),
            Fact::BodyBytes => write!(out, "{}", record.body_bytes),
            Fact::Cipher => self.text(session.map(|session| session.cipher), out),
            Fact::ClientIssuer => self.text(shown.map(|shown| &*shown.issuer), out),
            Fact::ClientSerial => self.text(shown.map(|shown| &*shown.serial), out),
            Fact::ClientSubject => self.text(shown.map(|shown| &*shown.subject), out),
            Fact::Connection => write!(out, "{}", record.connection.number),
            Fact::Consumer => self.text(record.consumer, out),
            Fact::Header(name) => header(record.headers, name, out),
            Fact::Host => self.text(Some(record.host), out),
            Fact::Hostname => self.text(Some(hostname()), out),
            Fact::Method => self.text(Some(record.method), out),
            Fact::Milliseconds => {
                let since = record.received_at.duration_since(SystemTime::UNIX_EPOCH);
                seconds(since.unwrap_or_default() + record.elapsed, out)
            }
            Fact::Path => self.text(Some(path), out),
            Fact::Peer => write!(out, "{}", record.connection.peer),
            Fact::Pid => write!(out, "{}", std::process::id()),
            Fact::Port => write!(out, "{}", record.port),
            Fact::Protocol => out.write_str(record.version),
            Fact::ProxiedAddress => match record.connection.told {
                Some(told) => write!(out, "{told}"),
                None => self.text(None, out),
            },
            Fact::RemoteAddress => write!(out, "{}", record.client),
            Fact::Request => {
                self.text(Some(record.method), out)?;
                out.push(' ');
                self.text(Some(record.target), out)?;
                write!(out, " {}", record.version)
            }
            Fact::RequestBytes => write!(out, "{}", record.request_bytes),
            Fact::RequestId => out.write_str(record.request_id),
            Fact::RequestTime => seconds(record.elapsed, out),
            Fact::Route => self.text(record.route, out),
            Fact::Scheme => out.write_str(record.scheme),
            Fact::SentBytes => write!(out, "{}", record.sent_bytes),
            Fact::ServerName => self.text(record.connection.server_name, out),
            Fact::SentHeader(name) => header(record.sent, name, out),
            Fact::Service => self.text(record.service, out),
            Fact::Status => write!(out, "{}", record.status),
            Fact::Target => self.text(Some(record.target), out),
            Fact::TimeIso => write!(out, "{}", Iso(record.received_at)),
            Fact::TimeLocal => write!(out, "{}", Stamp(record.received_at)),
            Fact::Upstream => match record.upstream {
                Some((host, port)) => {
                    self.text(Some(host), out)?;
                    write!(out, ":{port}")
                }
                None => self.text(None, out),
            },
            Fact::UpstreamStatus => match record.upstream_status {
                Some(status) => write!(out, "{status}"),
                None => self.text(None, out),
            },
            Fact::UpstreamTime => match record.upstream_time {
                Some(time) => seconds(time, out),
                None => self.text(None, out),
            },
            Fact::User => self.text(record.user().as_deref(), out),
            // Only what was verified gets so far.
            Fact::Verified => out.write_str(match shown {
                Some(_) => "SUCCESS",
                None => "NONE",
            }),
            Fact::Version => self.text(session.map(|session| session.version), out),
        }
    }

    fn text(&self, text: Option<&str>, out: &mut String) -> fmt::Result {
        match (self.escape, text) {
            (Escape::Default, text) => write!(out, "{}", Escaped(text.unwrap_or("-"))),
            (Escape::Json, Some(text)) => write!(out, "{}", InJson(text)),
            (Escape::None, Some(text)) => out.write_str(text),
            (Escape::Json | Escape::None, None) => Ok(()),
        }
    }
}

impl Fact {
    fn of(name: &str) -> Option<Self> {
        let header = |name: &str| HeaderName::try_from(name.replace('_', "-")).ok();
        Some(match name {
            "args" | "query_string" => Self::Args,
            "body_bytes_sent" => Self::BodyBytes,
            "bytes_sent" => Self::SentBytes,
            "connection" => Self::Connection,
            "host" => Self::Host,
            "hostname" => Self::Hostname,
            "kong_consumer" => Self::Consumer,
            "kong_request_id" | "request_id" => Self::RequestId,
            "kong_route" => Self::Route,
            "kong_service" => Self::Service,
            "msec" => Self::Milliseconds,
            "pid" => Self::Pid,
            "proxy_protocol_addr" => Self::ProxiedAddress,
            "realip_remote_addr" => Self::Peer,
            "remote_addr" => Self::RemoteAddress,
            "remote_user" => Self::User,
            "request" => Self::Request,
            "request_length" => Self::RequestBytes,
            "request_method" => Self::Method,
            "request_time" => Self::RequestTime,
            "request_uri" => Self::Target,
            "scheme" => Self::Scheme,
            "server_port" => Self::Port,
            "server_protocol" => Self::Protocol,
            "ssl_cipher" => Self::Cipher,
            "ssl_client_i_dn" => Self::ClientIssuer,
            "ssl_client_s_dn" => Self::ClientSubject,
            "ssl_client_serial" => Self::ClientSerial,
            "ssl_client_verify" => Self::Verified,
            "ssl_protocol" => Self::Version,
            "ssl_server_name" => Self::ServerName,
            "status" => Self::Status,
            "time_iso8601" => Self::TimeIso,
            "time_local" => Self::TimeLocal,
            "upstream_addr" => Self::Upstream,
            "upstream_header_time" | "upstream_response_time" => Self::UpstreamTime,
            "upstream_status" => Self::UpstreamStatus,
            "uri" | "document_uri" => Self::Path,
            _ => match name.strip_prefix("sent_http_") {
                Some(name) => Self::SentHeader(header(name)?),
                None => Self::Header(header(name.strip_prefix("http_")?)?),
            },
        })
    }
}

/// The name of this machine.
fn hostname() -> &'static str {
    static NAME: LazyLock<String> = LazyLock::new(|| {
        let told = rustix::system::uname();
        told.nodename().to_string_lossy().into_owned()
    });
    &NAME
}

fn seconds(time: Duration, out: &mut String) -> fmt::Result {
    write!(out, "{}.{:03}", time.as_secs(), time.subsec_millis())
}

/// `2026-11-23T05:39:28+00:00`; always UTC, so that nodes agree.
struct Iso(SystemTime);

impl fmt::Display for Iso {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MONTHS: [&str; 12] = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ];
        let date = httpdate::fmt_http_date(self.0);
        let Date {
            day,
            month,
            year,
            time,
        } = Date::of(&date);
        let month = MONTHS.iter().position(|name| *name == month);
        let month = month.map_or(0, |index| index + 1);
        write!(f, "{year}-{month:02}-{day}T{time}+00:00")
    }
}

/// Text within a string of JSON.
struct InJson<'a>(&'a str);

impl fmt::Display for InJson<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                c if c.is_control() => write!(f, "\\u{:04x}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use keelgate_plugins::exchange::{ClientCertificate, TlsSession};

    use super::*;
    use crate::access_log::tests::record;

    fn line(format: &LogFormat) -> String {
        let mut headers = HeaderMap::new();
        headers.insert("x-forged", HeaderValue::from_static("a\"b"));
        format.line(&Record {
            target: "/a?b=\\",
            port: 8443,
            scheme: "https",
            elapsed: Duration::from_millis(1234),
            upstream: Some(("up", 80)),
            upstream_status: Some(200),
            upstream_time: Some(Duration::from_millis(7)),
            route: Some("r"),
            ..record(&headers)
        })
    }

    #[test]
    fn variables_are_filled_in_and_escaped() {
        let text = "$remote_addr:$server_port ${uri}?$args \"$http_x_forged\" $request_time \
                    $upstream_addr $upstream_response_time $sent_http_x [$time_iso8601] $msec";
        let format = LogFormat::parse(text, Escape::Default).unwrap();
        assert_eq!(
            line(&format),
            "127.0.0.1:8443 /a?b=\\x5C \"a\\x22b\" 1.234 up:80 0.007 - \
             [1970-01-01T00:00:01+00:00] 2.234"
        );
    }

    #[test]
    fn a_connection_is_told_by_what_is_known_of_it() {
        let text = "$connection $realip_remote_addr $request_length $bytes_sent $pid $remote_user \
                    $proxy_protocol_addr $ssl_protocol $ssl_cipher $ssl_client_s_dn \
                    $ssl_client_i_dn $ssl_client_serial $ssl_client_verify";
        let format = LogFormat::parse(text, Escape::Default).unwrap();
        let pid = std::process::id();
        let common = format!("7 192.0.2.1 34 56 {pid} -");
        assert_eq!(line(&format), format!("{common} - - - - - - NONE"));
        let certificate = ClientCertificate {
            chain: Vec::new(),
            subject: "CN=a".to_owned(),
            issuer: "CN=b".to_owned(),
            serial: "0A".to_owned(),
        };
        let none = HeaderMap::new();
        let mut record = record(&none);
        record.connection.told = Some([192, 0, 2, 9].into());
        record.connection.session = Some(TlsSession {
            version: "TLSv1.3",
            cipher: "TLS_AES_128_GCM_SHA256",
        });
        record.connection.certificate = Some(&certificate);
        assert_eq!(
            format.line(&record),
            format!("{common} 192.0.2.9 TLSv1.3 TLS_AES_128_GCM_SHA256 CN=a CN=b 0A SUCCESS")
        );
        let host = LogFormat::parse("$hostname", Escape::Default).unwrap();
        assert!(!host.line(&record).is_empty());
    }

    #[test]
    fn the_json_format_is_json() {
        let line = line(&LogFormat::known("json").unwrap());
        let parsed: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(parsed["target"], "/a?b=\\");
        assert_eq!(parsed["status"], 200);
        assert_eq!(parsed["seconds"], 1.234);
        assert_eq!(parsed["route"], "r");
        assert_eq!(parsed["service"], "");
    }

    #[test]
    fn unknown_variables_are_refused() {
        let refused = LogFormat::parse("$status $nonsense", Escape::None);
        assert_eq!(refused, Err(UnknownVariable("nonsense".to_owned())));
    }
}
