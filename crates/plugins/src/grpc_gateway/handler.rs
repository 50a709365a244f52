//! How `grpc-gateway` translates calls.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    CONTENT_TYPE,
};
use http::{HeaderValue, Method, StatusCode};
use keelgate_entities::kinds;
use percent_encoding::percent_decode_str;
use prost_reflect::MessageDescriptor;
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::binding::{Binding, Bindings};
use super::config::{Config, NAME};
use super::payload;
use crate::error::Reason;
use crate::grpc::frame::{self, Frames};
use crate::grpc::{self, proto};
use crate::registry::Node;
use crate::response::Body;
use crate::{Access, Directory, Exchange, Flow, Phases, Plugin, Response, body, setting};

const ANYONE: HeaderValue = HeaderValue::from_static("*");
const ACCEPT_ENCODING: &str = "grpc-accept-encoding";

/// A compiled `grpc-gateway`.
pub(crate) struct GrpcGateway {
    services: Services,
}

/// The services of the `.proto` file.
enum Services {
    /// No file is named.
    Unknown,
    /// The file cannot be used; that is in the log.
    Unusable,
    Known(Bindings),
}

/// Compiles a configuration. A file that cannot be used spoils the calls, not the configuration.
pub(crate) fn compile(
    _node: &Node,
    plugin: &kinds::Plugin,
    _directory: &Arc<Directory>,
) -> Result<Arc<dyn Plugin>, Reason> {
    let config: Config = setting::decode(&plugin.config)?;
    let told = |file: &str, error: &dyn std::fmt::Display| {
        tracing::error!(plugin = %plugin.id, file, %error, "grpc-gateway knows no services: its .proto file cannot be used");
        Services::Unusable
    };
    let services = match &config.proto {
        None => Services::Unknown,
        Some(file) => match proto::load(file) {
            Ok(pool) => match Bindings::of(&pool) {
                Ok(bindings) => Services::Known(bindings),
                Err(error) => told(file, &error),
            },
            Err(error) => told(file, &error),
        },
    };
    Ok(Arc::new(GrpcGateway { services }))
}

/// One call on its way.
struct Call {
    answer: MessageDescriptor,
    /// Messages of the response that are not there whole.
    frames: Frames,
    /// Whether the response is one of gRPC.
    answered: bool,
    /// Whether a message did not fit its type: nothing after it is believed.
    failed: bool,
}

impl GrpcGateway {
    /// Makes the request one of gRPC.
    fn begin(&self, exchange: &mut Exchange<'_>) -> Result<(), Response> {
        let unusable = || Response::new(StatusCode::INTERNAL_SERVER_ERROR, Body::ErrorPage);
        let bindings = match &self.services {
            Services::Known(bindings) => bindings,
            Services::Unusable => return Err(unusable()),
            Services::Unknown => {
                let problem = "transcoding requests require a .proto file defining the service";
                return Err(refusal(problem));
            }
        };
        let path = exchange.raw_path.clone();
        let Some((binding, fields)) = bindings.find(&exchange.method, &path) else {
            let problem = if bindings.knows(&exchange.method) {
                format!("Unknown path {path:?}")
            } else {
                let method = exchange.method.as_str().to_ascii_lowercase();
                format!("Unknown method {method:?}")
            };
            return Err(refusal(format!(
                "failed to transcode .proto file {problem}"
            )));
        };
        let message = message(exchange, binding, &fields).map_err(refusal)?;
        let mut framed = Vec::with_capacity(message.len() + 5);
        frame::write(0, &message, &mut framed);
        body::set(exchange, framed.into());
        grpc::ask(&mut exchange.headers);
        exchange.headers.remove(ACCEPT_ENCODING);
        exchange.method = Method::POST;
        exchange.upstream.path.clone_from(&binding.path);
        exchange.query = None;
        let call = Call {
            answer: binding.method.output(),
            frames: Frames::default(),
            answered: false,
            failed: false,
        };
        exchange.keep(NAME, call);
        Ok(())
    }
}

fn refusal(text: impl Into<String>) -> Response {
    let body = Body::Bytes(Bytes::from(text.into()));
    Response::new(StatusCode::BAD_REQUEST, body)
}

/// The message that a request stands for.
fn message(
    exchange: &Exchange<'_>,
    binding: &Binding,
    fields: &[(&str, &str)],
) -> Result<Vec<u8>, Cow<'static, str>> {
    let kind = binding.method.input();
    let mut whole = Map::new();
    for (field, text) in fields {
        let text = percent_decode_str(text).decode_utf8_lossy();
        payload::set(&mut whole, &kind, field, &text);
    }
    let body = exchange.request_body.as_deref().unwrap_or_default();
    if let Some(field) = &binding.body
        && !body.is_empty()
    {
        let body: Value = serde_json::from_slice(body)
            .map_err(|error| Cow::from(format!("decode json err: {error}")))?;
        match body {
            body if field != "*" => {
                whole.insert(field.clone(), body);
            }
            Value::Object(body) => whole.extend(body),
            _ => return Err("body must be a table".into()),
        }
    }
    // With `*` every field that the path does not fill is one of the body.
    if binding.body.as_deref() != Some("*")
        && let Some(query) = &exchange.query
    {
        for (name, text) in form_urlencoded::parse(query.as_bytes()) {
            payload::set(&mut whole, &kind, &name, &text);
        }
    }
    proto::from_json(kind, Value::Object(whole)).map_err(|_| "failed to encode payload".into())
}

impl Plugin for GrpcGateway {
    fn phases(&self) -> Phases {
        Phases {
            access: true,
            header_filter: true,
            body_filter: true,
            request_body: true,
            ..Phases::default()
        }
    }

    fn wants_request_body(&self, exchange: &Exchange<'_>) -> bool {
        exchange.method != Method::OPTIONS
    }

    fn access<'a, 'r: 'a>(&'r self, exchange: &'a mut Exchange<'r>) -> Access<'a> {
        if exchange.method == Method::OPTIONS {
            return Access::Ready(Flow::Respond(Box::new(preflight())));
        }
        let headers = &mut exchange.response.headers;
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANYONE);
        Access::Ready(match self.begin(exchange) {
            Ok(()) => Flow::Continue,
            Err(refusal) => Flow::Respond(Box::new(refusal)),
        })
    }

    fn header_filter<'r>(&'r self, exchange: &mut Exchange<'r>) {
        let answered = grpc::is_answered(exchange);
        let Some(call) = exchange.kept_by_mut::<Call>(NAME) else {
            return;
        };
        call.answered = answered;
        if !answered {
            return;
        }
        let response = &mut exchange.response;
        grpc::answer(&mut response.headers, "application/json");
        // A code in the headers comes in place of a message.
        if let Some(code) = response.headers.get(grpc::STATUS) {
            let status = grpc::status_of(code.as_bytes());
            response.status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        }
    }

    fn body_filter<'r>(&'r self, exchange: &mut Exchange<'r>, piece: Bytes, _last: bool) -> Bytes {
        let Some(call) = exchange.kept_by_mut::<Call>(NAME) else {
            return piece;
        };
        if !call.answered {
            return piece;
        }
        call.frames.push(&piece);
        let mut translated = Vec::new();
        while !call.failed
            && let Ok(Some(message)) = call.frames.next()
        {
            match proto::to_json(call.answer.clone(), message) {
                Some(json) => translated.extend_from_slice(&json),
                None => call.failed = true,
            }
        }
        translated.into()
    }
}

/// What a browser is told that asks whether it may call.
fn preflight() -> Response {
    let mut response = Response::new(StatusCode::OK, Body::Bytes(Bytes::from_static(b"OK")));
    let headers = &mut response.headers;
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANYONE);
    let methods = HeaderValue::from_static("GET,POST,PATCH,DELETE");
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
    let allowed = HeaderValue::from_static("content-type");
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed);
    response
}
