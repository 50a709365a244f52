//! An answer that tells what the gateway received and matched.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::body::{self, Form};
use crate::registry::Node;
use crate::{Exchange, arguments::Arguments};

/// Where the answer is made.
pub(crate) struct Place {
    node_id: String,
    hostname: String,
}

impl Place {
    pub(crate) fn of(node: &Node) -> Self {
        Self {
            node_id: node.id.to_string(),
            hostname: node.hostname.clone(),
        }
    }
}

/// The body of the answer, in JSON.
pub(crate) fn echo(exchange: &Exchange<'_>, message: Option<&str>, place: &Place) -> Bytes {
    let mut echo = Map::new();
    if let Some(message) = message {
        echo.insert("message".to_owned(), message.into());
    }
    let node = json!({
        "node_id": place.node_id,
        "worker_pid": std::process::id(),
        "hostname": place.hostname,
    });
    echo.insert("kong".to_owned(), node);
    echo.insert("request".to_owned(), request(exchange));
    if let Some(route) = exchange.route {
        echo.insert("matched_route".to_owned(), without_nulls(json!(route)));
    }
    if let Some(service) = exchange.service {
        echo.insert("matched_service".to_owned(), without_nulls(json!(service)));
    }
    body::json(&echo)
}

fn request(exchange: &Exchange<'_>) -> Value {
    let raw_body = exchange.request_body.as_deref().unwrap_or_default();
    let mut request = json!({
        "scheme": exchange.protocol.as_str(),
        "host": exchange.host,
        "port": exchange.port,
        "headers": headers(exchange),
        "query": grouped(exchange.query.iter().flat_map(|query| {
            arguments(&Arguments::parse(query.as_bytes()))
        })),
        "raw_body": text(raw_body),
        "method": exchange.method.as_str(),
        "path": exchange.raw_path,
        "uri_captures": captures(exchange),
    });
    if let (Some(form), Value::Object(request)) = (body::form(exchange), &mut request) {
        let fields = match form {
            Form::Json(fields) => Value::Object(fields),
            Form::Arguments(fields) => grouped(arguments(&fields)),
            Form::Multipart(parts) => grouped(
                parts
                    .iter()
                    .map(|(name, value)| (name.to_owned(), text(value))),
            ),
        };
        request.insert("body".to_owned(), fields);
    }
    request
}

fn headers(exchange: &Exchange<'_>) -> Value {
    let headers = exchange.headers.iter();
    grouped(headers.map(|(name, value)| (name.as_str().to_owned(), text(value.as_bytes()))))
}

/// An argument that stands without `=` is `true`.
fn arguments(arguments: &Arguments<'_>) -> Vec<(String, Value)> {
    arguments
        .iter()
        .map(|(name, value)| {
            let name = String::from_utf8_lossy(name).into_owned();
            (name, value.map_or(Value::Bool(true), text))
        })
        .collect()
}

fn captures(exchange: &Exchange<'_>) -> Value {
    let mut unnamed = Vec::new();
    let mut named = Map::new();
    for (name, value) in &exchange.captures {
        match name.parse::<usize>() {
            Ok(0) => (),
            Ok(_) => unnamed.push(Value::from(value.as_str())),
            Err(_) => {
                named.insert(name.clone(), value.as_str().into());
            }
        }
    }
    json!({ "unnamed": unnamed, "named": named })
}

/// An object; a name that occurs several times gets a list.
fn grouped(pairs: impl IntoIterator<Item = (String, Value)>) -> Value {
    let mut object = Map::new();
    for (name, value) in pairs {
        match object.get_mut(&name) {
            None => {
                object.insert(name, value);
            }
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    Value::Object(object)
}

fn text(bytes: &[u8]) -> Value {
    Value::String(String::from_utf8_lossy(bytes).into_owned())
}

fn without_nulls(entity: Value) -> Value {
    match entity {
        Value::Object(mut fields) => {
            fields.retain(|_, value| !value.is_null());
            Value::Object(fields)
        }
        other => other,
    }
}
