//! What a function is told of a request, in JSON.

use std::borrow::Cow;
use std::time::UNIX_EPOCH;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::Version;
use http::header::{CONTENT_TYPE, USER_AGENT};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::config::PassedOn;
use crate::arguments::Arguments;
use crate::body::{self, Form, Format};
use crate::{Exchange, shown};

/// Bodies of these types are passed on as text.
const TEXTS: [&[u8]; 5] = [
    b"text/plain",
    b"text/html",
    b"application/xml",
    b"text/xml",
    b"application/soap+xml",
];

/// From this length on, in bytes, a body is a large one.
const LARGE: usize = 8 * 1024;

/// Whether the function is told the request's body.
pub(super) fn needs_body(passed_on: &PassedOn) -> bool {
    let is = |flag: Option<bool>| flag == Some(true);
    let chosen = is(passed_on.method) || is(passed_on.uri) || is(passed_on.headers);
    is(passed_on.awsgateway_compatible) || is(passed_on.body) || !chosen
}

/// What the function is told.
pub(super) fn payload(exchange: &Exchange<'_>, passed_on: &PassedOn) -> Bytes {
    let is = |flag: Option<bool>| flag == Some(true);
    if is(passed_on.awsgateway_compatible) {
        return body::json(&gateway(exchange, passed_on));
    }
    let chosen = [
        passed_on.method,
        passed_on.uri,
        passed_on.headers,
        passed_on.body,
    ];
    if !chosen.into_iter().any(is) {
        return merged(exchange);
    }
    let mut told = Map::new();
    if is(passed_on.method) {
        let method = exchange.method.as_str();
        told.insert("request_method".to_owned(), method.into());
    }
    if is(passed_on.headers) {
        let headers = shown::headers(&exchange.headers);
        told.insert("request_headers".to_owned(), headers);
    }
    if is(passed_on.uri) {
        let uri = match &exchange.query {
            Some(query) => format!("{}?{query}", exchange.raw_path),
            None => exchange.raw_path.clone(),
        };
        told.insert("request_uri".to_owned(), uri.into());
        told.insert("request_uri_args".to_owned(), query(exchange));
    }
    if is(passed_on.body) {
        tell_body(exchange, passed_on, &mut told);
    }
    body::json(&told)
}

/// Query and fields of the body, side by side.
fn merged(exchange: &Exchange<'_>) -> Bytes {
    let mut told = match query(exchange) {
        Value::Object(arguments) => arguments,
        _ => Map::new(),
    };
    match fields(exchange) {
        Ok(Value::Object(fields)) => told.extend(fields),
        Ok(list) if told.is_empty() => return Bytes::from(list.to_string()),
        _ => {}
    }
    body::json(&told)
}

fn tell_body(exchange: &Exchange<'_>, passed_on: &PassedOn, told: &mut Map<String, Value>) {
    let body = raw_body(exchange, passed_on);
    let encodes = passed_on.base64_encode_body != Some(false);
    let content_type = exchange.headers.get(CONTENT_TYPE);
    let is_text = content_type.is_some_and(|kind| TEXTS.contains(&kind.as_bytes()));
    let args = fields(exchange);
    let body = match (&args, body) {
        (Err(Unread::Type), body) if encodes && !is_text => {
            told.insert("request_body_base64".to_owned(), true.into());
            Some(BASE64_STANDARD.encode(body.unwrap_or_default()).into())
        }
        (_, body) => body.map(shown::text),
    };
    if let Some(body) = body {
        told.insert("request_body".to_owned(), body);
    }
    let args = match args {
        Ok(args) => Some(args),
        Err(Unread::Type) => Some(Value::Object(Map::new())),
        Err(Unread::Body) => None,
    };
    if let Some(args) = args {
        told.insert("request_body_args".to_owned(), args);
    }
}

/// The body, unless it is too large.
fn raw_body<'e>(exchange: &'e Exchange<'_>, passed_on: &PassedOn) -> Option<&'e [u8]> {
    let body = exchange.request_body.as_deref();
    let body = body.filter(|body| !body.is_empty())?;
    if body.len() > LARGE && passed_on.skip_large_bodies != Some(false) {
        tracing::error!(
            bytes = body.len(),
            "the request's body is too large to be passed on; set skip_large_bodies to false"
        );
        return None;
    }
    Some(body)
}

/// Why a body has no fields.
enum Unread {
    /// Its type has none.
    Type,
    /// It is not of its type.
    Body,
}

/// The fields of the body.
fn fields(exchange: &Exchange<'_>) -> Result<Value, Unread> {
    let format = Format::of(exchange.headers.get(CONTENT_TYPE)).ok_or(Unread::Type)?;
    if format == Format::Json {
        let body = exchange.request_body.as_deref().unwrap_or_default();
        let value = serde_json::from_slice(body).map_err(|_| Unread::Body)?;
        return match value {
            Value::Object(_) | Value::Array(_) => Ok(value),
            _ => Err(Unread::Body),
        };
    }
    match body::form(exchange) {
        Some(Form::Arguments(fields)) => Ok(shown::grouped(shown::arguments(&fields))),
        Some(Form::Multipart(parts)) => {
            Ok(shown::grouped(parts.iter().map(|(name, value)| {
                (name.to_owned(), shown::text(value))
            })))
        }
        Some(Form::Json(_)) | None => Err(Unread::Body),
    }
}

fn query(exchange: &Exchange<'_>) -> Value {
    let query = exchange.query.as_deref().unwrap_or_default();
    shown::grouped(shown::arguments(&Arguments::parse(query.as_bytes())))
}

/// What Amazon's API gateway tells, in format 1.0.
fn gateway(exchange: &Exchange<'_>, passed_on: &PassedOn) -> Map<String, Value> {
    let (headers, all_headers) = split(shown::headers(&exchange.headers));
    let (arguments, all_arguments) = split(query(exchange));
    let captures = exchange.captures.iter();
    let captures = captures.filter(|(name, _)| name.parse::<usize>().is_err());
    let captures: Map<String, Value> = captures
        .map(|(name, value)| (name.clone(), value.as_str().into()))
        .collect();
    let body = raw_body(exchange, passed_on);
    let encodes = passed_on.base64_encode_body != Some(false);
    let body = match encodes {
        true => Some(BASE64_STANDARD.encode(body.unwrap_or_default()).into()),
        false => body.map(shown::text),
    };
    let mut told = Map::new();
    let mut tell = |name: &str, value: Value| told.insert(name.to_owned(), value);
    tell("version", "1.0".into());
    if let Some(resource) = resource(exchange) {
        tell("resource", resource.into());
    }
    tell("path", exchange.upstream.path.as_str().into());
    tell("httpMethod", exchange.method.as_str().into());
    tell("headers", headers);
    tell("multiValueHeaders", all_headers);
    tell("pathParameters", captures.into());
    tell("queryStringParameters", arguments);
    tell("multiValueQueryStringParameters", all_arguments);
    if let Some(body) = body {
        tell("body", body);
    }
    tell("isBase64Encoded", encodes.into());
    tell("requestContext", context(exchange));
    told
}

fn context(exchange: &Exchange<'_>) -> Value {
    let since = exchange.times.received_at.duration_since(UNIX_EPOCH);
    let since = since.unwrap_or_default();
    let at = Timestamp::try_from(exchange.times.received_at).unwrap_or_default();
    let path = exchange.upstream.path.as_str();
    let host = exchange.host.as_str();
    let mut identity = json!({ "sourceIp": exchange.client.peer.ip() });
    if let Some(agent) = exchange.headers.get(USER_AGENT) {
        identity["userAgent"] = shown::text(agent.as_bytes());
    }
    json!({
        "path": path,
        "protocol": match exchange.version {
            Version::HTTP_10 => "HTTP/1",
            Version::HTTP_2 => "HTTP/2",
            _ => "HTTP/1.1",
        },
        "httpMethod": exchange.method.as_str(),
        "domainName": host,
        "domainPrefix": host.split('.').next().unwrap_or(host),
        "identity": identity,
        "requestId": exchange.request_id,
        "requestTime": at.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string(),
        "requestTimeEpoch": since.as_millis() as u64,
        "resourcePath": path,
    })
}

/// The part of the path that the route has matched.
fn resource<'e>(exchange: &'e Exchange<'_>) -> Option<Cow<'e, str>> {
    let whole = exchange.captures.iter().find(|(name, _)| name == "0");
    if let Some((_, matched)) = whole {
        return Some(matched.into());
    }
    let paths = exchange.route?.paths.as_deref().unwrap_or_default();
    let prefixes = paths
        .iter()
        .filter(|path| exchange.raw_path.starts_with(path.as_str()));
    let longest = prefixes.max_by_key(|path| path.len())?;
    Some(longest.into())
}

/// Each name with its first value, and with all its values.
fn split(grouped: Value) -> (Value, Value) {
    let Value::Object(grouped) = grouped else {
        return (json!({}), json!({}));
    };
    let (mut first, mut all) = (Map::new(), Map::new());
    for (name, value) in grouped {
        let values = match value {
            Value::Array(values) => values,
            value => vec![value],
        };
        if let Some(value) = values.first() {
            first.insert(name.clone(), value.clone());
        }
        all.insert(name, values.into());
    }
    (first.into(), all.into())
}
