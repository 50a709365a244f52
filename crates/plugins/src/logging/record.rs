//! The record about a request, in JSON.
//!
//! It is written straight from the exchange; only fields that a configuration changes cost a detour.

use http::header::{AUTHORIZATION, DATE, HeaderName, PROXY_AUTHORIZATION};

use super::fields::Fields;
use super::figures::{self, Latencies};
use super::{json, parts};
use crate::arguments::Arguments;
use crate::exchange::MadeBy;
use crate::traces::propagation::{KEPT, TraceIds};
use crate::{Exchange, HeaderMap, shown};

/// Appends the record about an exchange that has come to its end, in JSON.
pub(crate) fn write(exchange: &Exchange<'_>, fields: &Fields, out: &mut Vec<u8>) {
    let start = out.len();
    out.push(b'{');
    request(exchange, out);
    upstream(exchange, out);
    response(exchange, out);
    latencies(exchange, out);
    parts::tries(&exchange.outcome.tries, out);
    if let Some(credential) = exchange.credential {
        out.extend_from_slice(br#","authenticated_entity":{"id":"#);
        json::id(out, credential.id);
        out.push(b'}');
    }
    let (route, service) = (exchange.route, exchange.service);
    parts::entities(exchange.written, route, service, exchange.consumer, out);
    out.extend_from_slice(br#","client_ip":"#);
    json::address(out, exchange.client.ip);
    out.extend_from_slice(br#","started_at":"#);
    let began = parts::since_1970(exchange.times.received_at);
    json::number(out, began.as_millis() as u64);
    out.extend_from_slice(match exchange.response.made_by {
        MadeBy::Upstream => br#","source":"upstream""#,
        MadeBy::Plugin | MadeBy::Cache | MadeBy::Function | MadeBy::Gateway => {
            br#","source":"kong""#
        }
    });
    parts::workspace(out);
    if let Some(ids) = exchange.kept_by::<TraceIds>(KEPT) {
        out.extend_from_slice(br#","trace_id":{"#);
        for (format, id) in &ids.0 {
            name(out, format.as_bytes());
            out.push(b'"');
            id.write(out);
            out.push(b'"');
        }
        out.push(b'}');
    }
    out.push(b'}');
    fields.change(start, out);
}

/// Appends a name in an object, with the comma before it.
fn name(out: &mut Vec<u8>, name: &[u8]) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    json::lower(out, name);
    out.push(b':');
}

fn request(exchange: &Exchange<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(br#""request":{"id":"#);
    json::text(out, exchange.request_id.as_bytes());
    out.extend_from_slice(br#","method":"#);
    json::text(out, exchange.method.as_str().as_bytes());
    let uri = exchange.outcome.target.as_str();
    out.extend_from_slice(br#","uri":"#);
    json::text(out, uri.as_bytes());
    out.extend_from_slice(br#","url":"#);
    let scheme = match exchange.client.tls {
        true => "https://",
        false => "http://",
    };
    let mut port = itoa::Buffer::new();
    let port = port.format(exchange.port);
    json::texts(out, &[scheme, &exchange.host, ":", port, uri]);
    out.extend_from_slice(br#","querystring":"#);
    arguments(exchange.query.as_deref().unwrap_or_default(), out);
    out.extend_from_slice(br#","headers":"#);
    let redacted = [AUTHORIZATION, PROXY_AUTHORIZATION];
    headers(&exchange.headers, &redacted, None, out);
    out.extend_from_slice(br#","size":"#);
    json::number(out, figures::request_size(exchange));
    if let Some(session) = exchange.client.session {
        out.push(b',');
        parts::tls(session, out);
    }
    out.push(b'}');
}

fn arguments(query: &str, out: &mut Vec<u8>) {
    if query.is_empty() {
        out.extend_from_slice(b"{}");
        return;
    }
    let arguments = Arguments::parse(query.as_bytes());
    json::value(out, &shown::grouped(shown::arguments(&arguments)));
}

fn upstream(exchange: &Exchange<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(br#","upstream_uri":"#);
    let path = exchange.upstream.path.as_str();
    match &exchange.query {
        // Nothing was to be sent.
        _ if exchange.service.is_none() => json::text(out, b""),
        Some(query) => json::texts(out, &[path, "?", query]),
        None => json::text(out, path.as_bytes()),
    }
    out.extend_from_slice(br#","upstream_status":""#);
    if let Some(status) = exchange.outcome.upstream_status {
        json::number(out, status);
    }
    out.push(b'"');
}

fn response(exchange: &Exchange<'_>, out: &mut Vec<u8>) {
    let response = &exchange.response;
    out.extend_from_slice(br#","response":{"status":"#);
    json::number(out, response.status.as_u16());
    out.extend_from_slice(br#","headers":"#);
    // Of an answer of the gateway, records do not tell it.
    let hidden = (response.made_by != MadeBy::Upstream).then_some(DATE);
    headers(&response.headers, &[], hidden, out);
    out.extend_from_slice(br#","size":"#);
    json::number(out, figures::response_size(exchange));
    out.push(b'}');
}

fn latencies(exchange: &Exchange<'_>, out: &mut Vec<u8>) {
    let Latencies {
        request,
        kong,
        proxy,
        receive,
    } = Latencies::of(exchange);
    out.extend_from_slice(br#","latencies":{"request":"#);
    json::number(out, request);
    out.extend_from_slice(br#","kong":"#);
    json::number(out, kong);
    out.extend_from_slice(br#","proxy":"#);
    json::number(out, proxy);
    out.extend_from_slice(br#","receive":"#);
    json::number(out, receive);
    out.extend_from_slice(b"},");
}

/// Headers; a name that occurs several times gets a list.
fn headers(
    all: &HeaderMap,
    redacted: &[HeaderName],
    hidden: Option<HeaderName>,
    out: &mut Vec<u8>,
) {
    out.push(b'{');
    for (written, values) in all.groups() {
        if hidden
            .as_ref()
            .is_some_and(|hidden| written.is(hidden.as_str()))
        {
            continue;
        }
        name(out, written.as_bytes());
        if redacted.iter().any(|name| written.is(name.as_str())) {
            out.extend_from_slice(br#""REDACTED""#);
            continue;
        }
        if let Some(value) = values.only() {
            json::text(out, value);
            continue;
        }
        let mut values = values.bytes();
        let first = values.next().unwrap_or_default();
        match values.next() {
            None => json::text(out, first),
            Some(second) => {
                out.push(b'[');
                json::text(out, first);
                for value in [second].into_iter().chain(values) {
                    out.push(b',');
                    json::text(out, value);
                }
                out.push(b']');
            }
        }
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

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
