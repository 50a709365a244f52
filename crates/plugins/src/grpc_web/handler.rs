//! How `grpc-web` translates calls.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    CONTENT_TYPE,
};
use http::{HeaderValue, Method, StatusCode};
use keelgate_entities::kinds;
use prost_reflect::MethodDescriptor;
use rustc_hash::FxHashMap;

use super::config::{Config, NAME};
use super::form::{self, Form};
use crate::error::Reason;
use crate::grpc::frame::{self, Frames};
use crate::grpc::{self, MESSAGE, STATUS, Status, proto};
use crate::registry::Node;
use crate::response::Body;
use crate::{Access, Directory, Exchange, Flow, Phases, Plugin, Response, body, setting};

/// The accepted encodings of messages: those in JSON must be read here.
const ACCEPT_ENCODING: &str = "grpc-accept-encoding";

/// A compiled `grpc-web`.
pub(crate) struct GrpcWeb {
    methods: Methods,
    pass_stripped_path: bool,
    origin: Option<HeaderValue>,
}

/// The methods of the `.proto` file.
enum Methods {
    /// No file is named.
    Unknown,
    /// The file cannot be read; that is in the log.
    Unusable,
    Known(FxHashMap<String, MethodDescriptor>),
}

/// Compiles a configuration. A file that cannot be read spoils the calls that need it, not the configuration.
pub(crate) fn compile(
    _node: &Node,
    plugin: &kinds::Plugin,
    _directory: &Arc<Directory>,
) -> Result<Arc<dyn Plugin>, Reason> {
    let config: Config = setting::decode(&plugin.config)?;
    let methods = match &config.proto {
        None => Methods::Unknown,
        Some(file) => match proto::load(file) {
            Ok(pool) => Methods::Known(proto::by_path(&pool)),
            Err(error) => {
                tracing::error!(plugin = %plugin.id, file, %error, "grpc-web cannot read JSON: its .proto file cannot be used");
                Methods::Unusable
            }
        },
    };
    let origin = config.allow_origin_header.as_deref();
    let origin = origin.map(|origin| setting::header_value("allow_origin_header", origin));
    Ok(Arc::new(GrpcWeb {
        methods,
        pass_stripped_path: config.pass_stripped_path.unwrap_or_default(),
        origin: origin.transpose()?,
    }))
}

/// One call on its way.
struct Call {
    form: Form,
    /// The method, where its messages are translated.
    method: Option<MethodDescriptor>,
    /// Messages of the response that are not there whole.
    frames: Frames,
    /// Whether the response is one of gRPC.
    answered: bool,
    /// Why nothing more of it is translated.
    failed: Option<String>,
}

impl GrpcWeb {
    /// What a browser is told that asks whether it may call.
    fn preflight(&self) -> Response {
        let mut response = Response::new(StatusCode::OK, Body::Bytes(Bytes::from_static(b"OK")));
        let headers = &mut response.headers;
        let content_type = HeaderValue::from_static("application/grpc-web-text+proto");
        headers.insert(CONTENT_TYPE, content_type);
        if let Some(origin) = &self.origin {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        }
        let methods = HeaderValue::from_static("POST");
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
        let allowed = HeaderValue::from_static("content-type,x-grpc-web,x-user-agent");
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed);
        response
    }

    /// Makes the call one of gRPC.
    fn begin(&self, exchange: &mut Exchange<'_>) -> Result<(), Response> {
        if !self.pass_stripped_path {
            exchange.upstream.path.clone_from(&exchange.raw_path);
        }
        let form = Form::of(exchange.headers.get(CONTENT_TYPE));
        let method = match form {
            Some(form) if !form.json => None,
            _ => Some(self.method(&exchange.upstream.path)?),
        };
        let Some(form) = form else {
            return Err(plain(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "not a content type of gRPC-Web",
            ));
        };
        let body = exchange.request_body.take().unwrap_or_default();
        let body = translate(form, method.as_ref(), body)
            .map_err(|problem| plain(StatusCode::BAD_REQUEST, problem))?;
        grpc::ask(&mut exchange.headers);
        if method.is_some() {
            exchange.headers.remove(ACCEPT_ENCODING);
        }
        body::set(exchange, body);
        let call = Call {
            form,
            method,
            frames: Frames::default(),
            answered: false,
            failed: None,
        };
        exchange.keep(NAME, call);
        Ok(())
    }

    fn method(&self, path: &str) -> Result<MethodDescriptor, Response> {
        let problem = match &self.methods {
            Methods::Known(methods) => match methods.get(path) {
                Some(method) => return Ok(method.clone()),
                None => format!("Unknown path {path:?}"),
            },
            Methods::Unknown => {
                "transcoding requests require a .proto file defining the service".to_owned()
            }
            Methods::Unusable => {
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                return Err(Response::new(status, Body::ErrorPage));
            }
        };
        Err(plain(StatusCode::BAD_REQUEST, problem))
    }
}

fn plain(status: StatusCode, text: impl Into<String>) -> Response {
    Response::new(status, Body::Bytes(Bytes::from(text.into())))
}

/// The body of a request in the way of gRPC.
fn translate(
    form: Form,
    method: Option<&MethodDescriptor>,
    mut body: Bytes,
) -> Result<Bytes, String> {
    if form.base64 {
        body = form::from_base64(&body)
            .ok_or("the body is not in base64")?
            .into();
    }
    let Some(method) = method else {
        return Ok(body);
    };
    let mut translated = Vec::new();
    let mut add = |message: &[u8]| {
        let message = proto::from_text(method.input(), message)
            .map_err(|error| format!("the message does not fit its type: {error}"))?;
        frame::write(0, &message, &mut translated);
        Ok::<_, String>(())
    };
    if form.framed {
        let mut frames = Frames::default();
        frames.push(&body);
        while let Some(message) = frames.next().map_err(|fault| fault.to_string())? {
            add(&message)?;
        }
        if !frames.is_empty() {
            return Err("the last message is not whole".to_owned());
        }
    } else {
        add(&body)?;
    }
    Ok(translated.into())
}

impl Call {
    /// A piece of the response as the client reads it.
    fn translate(&mut self, piece: Bytes) -> Bytes {
        // What is no message has no place among them; the status says what it was.
        if !self.answered || self.failed.is_some() {
            return Bytes::new();
        }
        let Some(method) = &self.method else {
            return piece;
        };
        self.frames.push(&piece);
        let mut translated = Vec::new();
        loop {
            match self.frames.next() {
                Ok(None) => break,
                Ok(Some(message)) => match proto::to_json(method.output(), message) {
                    Some(json) if self.form.framed => frame::write(0, &json, &mut translated),
                    Some(json) => translated.extend_from_slice(&json),
                    None => {
                        self.failed = Some("a message does not fit its type".to_owned());
                        break;
                    }
                },
                Err(fault) => {
                    self.failed = Some(fault.to_string());
                    break;
                }
            }
        }
        translated.into()
    }
}

/// The frame that ends a response: how the call ended, and what else the service says after its messages.
fn end(exchange: &Exchange<'_>, failed: Option<&str>) -> Vec<u8> {
    let status = match failed {
        Some(problem) => Status::new("13", problem),
        None => Status::of(exchange),
    };
    let mut fields = format!(
        "grpc-status:{}\r\ngrpc-message:{}\r\n",
        status.code, status.message
    )
    .into_bytes();
    let more = exchange.trailers.as_deref().into_iter().flatten();
    for (name, value) in more.filter(|(name, _)| ![STATUS, MESSAGE].contains(name)) {
        fields.extend_from_slice(name.as_str().as_bytes());
        fields.push(b':');
        fields.extend_from_slice(value.as_bytes());
        fields.extend_from_slice(b"\r\n");
    }
    let mut framed = Vec::with_capacity(fields.len() + 5);
    frame::write(frame::TRAILERS, &fields, &mut framed);
    framed
}

impl Plugin for GrpcWeb {
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
            return Access::Ready(Flow::Respond(Box::new(self.preflight())));
        }
        if let Some(origin) = &self.origin {
            let headers = &mut exchange.response.headers;
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        }
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
        let name = call.form.name;
        grpc::answer(&mut exchange.response.headers, name);
    }

    fn body_filter<'r>(&'r self, exchange: &mut Exchange<'r>, piece: Bytes, last: bool) -> Bytes {
        if exchange.method != Method::POST {
            return piece;
        }
        let Some(call) = exchange.kept_by_mut::<Call>(NAME) else {
            return piece;
        };
        let form = call.form;
        let mut piece = call.translate(piece);
        if last && form.framed {
            let failed = call.failed.take();
            let mut whole = Vec::from(piece);
            whole.extend_from_slice(&end(exchange, failed.as_deref()));
            piece = whole.into();
        }
        if form.base64 && !piece.is_empty() {
            piece = BASE64_STANDARD.encode(&piece).into();
        }
        piece
    }
}
