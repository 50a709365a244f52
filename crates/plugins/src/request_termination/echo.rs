//! An answer that tells what the gateway received and matched.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::body::{self, Form};
use crate::registry::Node;
use crate::shown::Owned;
use crate::{Exchange, arguments::Arguments, shown};

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
        echo.insert("matched_route".to_owned(), json!(Owned::of(route)));
    }
    if let Some(service) = exchange.service {
        echo.insert("matched_service".to_owned(), json!(Owned::of(service)));
    }
    body::json(&echo)
}

fn request(exchange: &Exchange<'_>) -> Value {
    let raw_body = exchange.request_body.as_deref().unwrap_or_default();
    let mut request = json!({
        "scheme": exchange.protocol.as_str(),
        "host": exchange.host,
        "port": exchange.port,
        "headers": shown::headers(&exchange.headers),
        "query": shown::grouped(exchange.query.iter().flat_map(|query| {
            shown::arguments(&Arguments::parse(query.as_bytes()))
        })),
        "raw_body": shown::text(raw_body),
        "method": exchange.method.as_str(),
        "path": exchange.path(),
        "uri_captures": captures(exchange),
    });
    if let (Some(form), Value::Object(request)) = (body::form(exchange), &mut request) {
        let fields = match form {
            Form::Json(fields) => Value::Object(fields),
            Form::Arguments(fields) => shown::grouped(shown::arguments(&fields)),
            Form::Multipart(parts) => shown::grouped(
                parts
                    .iter()
                    .map(|(name, value)| (name.to_owned(), shown::text(value))),
            ),
        };
        request.insert("body".to_owned(), fields);
    }
    request
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
