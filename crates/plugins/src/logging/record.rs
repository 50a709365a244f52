//! The record about a request, in JSON.
//!
//! It is written straight from the exchange; only fields that a configuration changes cost a detour.

use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

use http::header::{AUTHORIZATION, DATE, HeaderName, PROXY_AUTHORIZATION};
use keelgate_entities::kinds::{Consumer, Route, Service};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;
use uuid::Uuid;

use super::fields::Fields;
use super::figures::{self, Latencies};
use super::{WORKSPACE_ID, WORKSPACE_NAME};
use crate::arguments::Arguments;
use crate::exchange::{MadeBy, Try};
use crate::shown::Owned;
use crate::traces::propagation::{KEPT, TraceIds};
use crate::{Exchange, HeaderMap, shown};

/// Appends the record about an exchange that has come to its end, in JSON.
pub(crate) fn write(exchange: &Exchange<'_>, fields: &Fields, out: &mut Vec<u8>) {
    out.reserve(USUAL);
    let record = Record::of(exchange);
    let written = match fields.is_empty() {
        true => serde_json::to_writer(out, &record),
        false => serde_json::to_value(&record).and_then(|mut record| {
            if let Value::Object(record) = &mut record {
                fields.apply(record);
            }
            serde_json::to_writer(out, &record)
        }),
    };
    written.expect("texts and numbers are written to memory");
}

/// Bytes that most records have room in.
const USUAL: usize = 2048;

#[derive(Serialize)]
struct Record<'e> {
    request: Request<'e>,
    upstream_uri: Cow<'e, str>,
    upstream_status: String,
    response: Response<'e>,
    latencies: Latencies,
    tries: Vec<Attempt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authenticated_entity: Option<Authenticated>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<Owned<'e, Route>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<Owned<'e, Service>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumer: Option<&'e Consumer>,
    client_ip: std::net::IpAddr,
    /// Milliseconds since 1970.
    started_at: u64,
    source: &'static str,
    workspace: &'static str,
    workspace_name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<Traces<'e>>,
}

#[derive(Serialize)]
struct Request<'e> {
    id: &'e str,
    method: &'e str,
    uri: &'e str,
    url: String,
    querystring: Value,
    headers: Headers<'e>,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<Tls>,
}

#[derive(Serialize)]
struct Tls {
    version: &'static str,
    cipher: &'static str,
    client_verify: &'static str,
}

#[derive(Serialize)]
struct Response<'e> {
    status: u16,
    headers: Headers<'e>,
    size: u64,
}

#[derive(Serialize)]
struct Authenticated {
    id: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumer_id: Option<Uuid>,
}

/// An attempt to call an upstream; times are in milliseconds, and in nanoseconds.
#[derive(Serialize)]
struct Attempt {
    ip: std::net::IpAddr,
    port: u16,
    balancer_start: u64,
    balancer_start_ns: u64,
    balancer_latency: u64,
    balancer_latency_ns: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
}

impl<'e> Record<'e> {
    fn of(exchange: &'e Exchange<'_>) -> Self {
        let outcome = &exchange.outcome;
        let response = &exchange.response;
        Self {
            request: Request::of(exchange),
            upstream_uri: upstream_uri(exchange),
            upstream_status: outcome
                .upstream_status
                .map(|status| status.to_string())
                .unwrap_or_default(),
            response: Response {
                status: response.status.as_u16(),
                headers: Headers {
                    all: &response.headers,
                    redacted: &[],
                    // Of an answer of the gateway, records do not tell it.
                    hidden: (response.made_by != MadeBy::Upstream).then_some(DATE),
                },
                size: figures::response_size(exchange),
            },
            latencies: Latencies::of(exchange),
            tries: outcome.tries.iter().map(Attempt::of).collect(),
            authenticated_entity: exchange.credential.map(|credential| Authenticated {
                id: credential.id,
                consumer_id: None,
            }),
            route: exchange.route.map(Owned::of),
            service: exchange.service.map(Owned::of),
            consumer: exchange.consumer,
            client_ip: exchange.client.ip,
            started_at: since_1970(exchange.times.received_at).as_millis() as u64,
            source: match response.made_by {
                MadeBy::Upstream => "upstream",
                MadeBy::Plugin | MadeBy::Cache | MadeBy::Function | MadeBy::Gateway => "kong",
            },
            workspace: WORKSPACE_ID,
            workspace_name: WORKSPACE_NAME,
            trace_id: exchange.kept_by::<TraceIds>(KEPT).map(|ids| Traces(&ids.0)),
        }
    }
}

impl<'e> Request<'e> {
    fn of(exchange: &'e Exchange<'_>) -> Self {
        let scheme = if exchange.client.tls { "https" } else { "http" };
        let uri = exchange.outcome.target.as_str();
        let query = exchange.query.as_deref().unwrap_or_default();
        Self {
            id: &exchange.request_id,
            method: exchange.method.as_str(),
            uri,
            url: format!("{scheme}://{}:{}{uri}", exchange.host, exchange.port),
            querystring: shown::grouped(shown::arguments(&Arguments::parse(query.as_bytes()))),
            headers: Headers {
                all: &exchange.headers,
                redacted: &[AUTHORIZATION, PROXY_AUTHORIZATION],
                hidden: None,
            },
            size: figures::request_size(exchange),
            tls: exchange.client.session.map(|session| Tls {
                version: session.version,
                cipher: session.cipher,
                client_verify: "NONE",
            }),
        }
    }
}

impl Attempt {
    fn of(attempt: &Try) -> Self {
        let since = since_1970(attempt.at);
        Self {
            ip: attempt.address.ip(),
            port: attempt.address.port(),
            balancer_start: since.as_millis() as u64,
            balancer_start_ns: since.as_nanos() as u64,
            balancer_latency: attempt.chosen_in.as_millis() as u64,
            balancer_latency_ns: attempt.chosen_in.as_nanos() as u64,
            code: attempt.failed,
            state: attempt.failed.map(|_| "failed"),
        }
    }
}

/// Ids of the trace, by format.
struct Traces<'e>(&'e [(&'static str, String)]);

impl Serialize for Traces<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(format, id)| (format, id)))
    }
}

/// Headers; a name that occurs several times gets a list.
struct Headers<'e> {
    all: &'e HeaderMap,
    redacted: &'static [HeaderName],
    hidden: Option<HeaderName>,
}

impl Serialize for Headers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let mut lower = String::new();
        for (name, values) in self.all.groups() {
            lower.clear();
            lower.push_str(&String::from_utf8_lossy(name.as_bytes()));
            lower.make_ascii_lowercase();
            let is = |name: &HeaderName| name.as_str() == lower;
            if self.hidden.as_ref().is_some_and(is) {
                continue;
            }
            if self.redacted.iter().any(is) {
                map.serialize_entry(&lower, "REDACTED")?;
                continue;
            }
            let mut values = values.bytes().map(String::from_utf8_lossy);
            let first = values.next().unwrap_or_default();
            match values.next() {
                None => map.serialize_entry(&lower, &first)?,
                Some(second) => {
                    let all: Vec<_> = [first, second].into_iter().chain(values).collect();
                    map.serialize_entry(&lower, &all)?;
                }
            }
        }
        map.end()
    }
}

fn upstream_uri<'e>(exchange: &'e Exchange<'_>) -> Cow<'e, str> {
    let path = exchange.upstream.path.as_str();
    match &exchange.query {
        // Nothing was to be sent.
        _ if exchange.service.is_none() => "".into(),
        Some(query) => format!("{path}?{query}").into(),
        None => path.into(),
    }
}

fn since_1970(time: SystemTime) -> std::time::Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::testing::{access, compiled, exchange, with_headers};

    fn record(exchange: &Exchange<'_>) -> Value {
        record_with(exchange, &Fields::default())
    }

    fn record_with(exchange: &Exchange<'_>, fields: &Fields) -> Value {
        let mut json = Vec::new();
        write(exchange, fields, &mut json);
        serde_json::from_slice(&json).unwrap()
    }

    #[test]
    fn a_record_tells_what_was_asked_and_answered() {
        let mut exchange = exchange("GET", "/a?b=1&b=2&c");
        exchange.outcome.target = "/a?b=1&b=2&c".to_owned();
        exchange.outcome.upstream_status = Some(200);
        let record = record(&exchange);
        assert_eq!(
            record["request"]["url"],
            "http://example.test:8000/a?b=1&b=2&c"
        );
        assert_eq!(
            record["request"]["querystring"],
            json!({"b": ["1", "2"], "c": true})
        );
        assert_eq!(record["response"]["status"], 200);
        assert_eq!(record["upstream_status"], "200");
        assert_eq!(record["latencies"]["proxy"], -1);
        assert_eq!(record["tries"], json!([]));
        assert_eq!(record["client_ip"], "192.0.2.7");
        assert_eq!(record["source"], "upstream");
        assert!(record.get("consumer").is_none());
    }

    #[test]
    fn secrets_are_left_out() {
        let auth = compiled("key-auth", json!({"key_names": ["authorization"]}));
        let secrets = [
            ("authorization", "ka"),
            ("proxy-authorization", "Basic s3cr3t"),
        ];
        let mut exchange = with_headers(exchange("GET", "/a"), &secrets);
        assert!(access(auth, &mut exchange).is_none());
        let record = record(&exchange);
        assert_eq!(record["request"]["headers"]["authorization"], "REDACTED");
        assert_eq!(
            record["request"]["headers"]["proxy-authorization"],
            "REDACTED"
        );
        assert_eq!(record["consumer"]["username"], "alice");
        assert!(record["authenticated_entity"]["id"].is_string());
    }

    #[test]
    fn fields_are_added_and_taken_away() {
        let fields: BTreeMap<_, _> = [
            ("extra".to_owned(), "return 'x'".to_owned()),
            ("request.headers".to_owned(), "return nil".to_owned()),
            ("a.b".to_owned(), "return 5".to_owned()),
        ]
        .into();
        let fields = Fields::compile(&fields).unwrap();
        let record = record_with(&exchange("GET", "/a"), &fields);
        assert_eq!(record["extra"], "x");
        assert_eq!(record["a"], json!({"b": 5}));
        assert!(record["request"].get("headers").is_none());
    }
}
