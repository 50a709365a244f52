//! When `request-transformer` changes what.

use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use keelgate_entities::kinds;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::changes::{FieldChanges, HeaderChanges, Plain, Rendered, Templates};
use super::config::Config;
use crate::arguments::Arguments;
use crate::body::Format;
use crate::error::Reason;
use crate::registry::Node;
use crate::{Access, Directory, Exchange, Flow, Phases, Plugin, Response, setting};

/// A compiled `request-transformer`.
pub(crate) struct RequestTransformer {
    templates: Templates,
    uri: Option<Plain>,
    method: Option<Method>,
    headers: HeaderChanges,
    body: FieldChanges,
    query: FieldChanges,
}

/// What cannot stand in a path. A percent sign can: it is taken to begin an escape.
const NOT_IN_PATHS: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// Compiles a configuration.
pub(crate) fn compile(
    _node: &Node,
    plugin: &kinds::Plugin,
    _directory: &Arc<Directory>,
) -> Result<Arc<dyn Plugin>, Reason> {
    let config: Config = setting::decode(&plugin.config)?;
    let method = config.http_method.as_deref().map(|method| {
        let method = method.to_ascii_uppercase();
        Method::from_bytes(method.as_bytes())
            .map_err(|_| Reason::setting("http_method", format!("'{method}' is not a method")))
    });
    let mut templates = Templates::default();
    let uri = config.replace.uri.as_deref().filter(|uri| !uri.is_empty());
    let uri = uri.map(|uri| {
        let fixed = |text: &str| Ok(text.as_bytes().to_vec());
        templates.add("replace.uri", uri, fixed)
    });
    Ok(Arc::new(RequestTransformer {
        uri: uri.transpose()?,
        method: method.transpose()?,
        headers: HeaderChanges::new(&config, &mut templates)?,
        body: FieldChanges::new(&config, "body", |change| &change.body, &mut templates)?,
        query: FieldChanges::new(
            &config,
            "querystring",
            |change| &change.querystring,
            &mut templates,
        )?,
        templates,
    }))
}

impl RequestTransformer {
    /// The error is a path that is none.
    fn set_path(&self, exchange: &mut Exchange<'_>, rendered: &Rendered) -> Result<(), ()> {
        let Some(uri) = &self.uri else { return Ok(()) };
        let path = String::from_utf8_lossy(uri.bytes(rendered));
        if !path.starts_with('/') {
            tracing::error!(%path, "request-transformer: replace.uri does not start with '/'");
            return Err(());
        }
        exchange.upstream.path = utf8_percent_encode(&path, NOT_IN_PATHS).to_string();
        Ok(())
    }

    fn set_method(&self, exchange: &mut Exchange<'_>) {
        let Some(method) = &self.method else { return };
        exchange.method = method.clone();
        if !self.moves_form_to_query() {
            return;
        }
        let format = Format::of(exchange.headers.get(CONTENT_TYPE));
        let body = exchange.request_body.as_deref().unwrap_or_default();
        if format != Some(Format::Arguments) || body.is_empty() {
            return;
        }
        let fields = Arguments::parse(body);
        let query = exchange.query.as_deref().unwrap_or_default();
        let mut arguments = Arguments::parse(query.as_bytes());
        for (name, value) in fields.iter() {
            arguments.push(name, value.map(Into::into));
        }
        exchange.query = Some(arguments.encode());
    }

    /// Methods without a body get the fields of a form as arguments, too.
    fn moves_form_to_query(&self) -> bool {
        matches!(&self.method, Some(method) if [Method::GET, Method::HEAD, Method::TRACE].contains(method))
    }

    fn set_query(&self, exchange: &mut Exchange<'_>, rendered: &Rendered) {
        if self.query.is_empty() {
            return;
        }
        let query = exchange.query.take().unwrap_or_default();
        let mut arguments = Arguments::parse(query.as_bytes());
        self.query.apply(&mut arguments, rendered);
        let changed = arguments.encode();
        exchange.query = (!changed.is_empty()).then_some(changed);
    }
}

impl Plugin for RequestTransformer {
    fn phases(&self) -> Phases {
        Phases {
            access: true,
            request_body: !self.body.is_empty() || self.moves_form_to_query(),
            ..Phases::default()
        }
    }

    fn wants_request_body(&self, exchange: &Exchange<'_>) -> bool {
        self.headers.may_set(&CONTENT_TYPE)
            || Format::of(exchange.headers.get(CONTENT_TYPE)).is_some()
    }

    fn access<'a, 'r: 'a>(&'r self, exchange: &'a mut Exchange<'r>) -> Access<'a> {
        let rendered = self.templates.render(exchange);
        if self.set_path(exchange, &rendered).is_err() {
            return Access::Ready(Flow::Respond(Box::new(Response::error(
                StatusCode::INTERNAL_SERVER_ERROR,
                "An unexpected error occurred",
            ))));
        }
        self.set_method(exchange);
        self.headers.apply(exchange, &rendered);
        if !self.body.is_empty() {
            super::body::apply(&self.body, exchange, &rendered);
        }
        self.set_query(exchange, &rendered);
        Access::Ready(Flow::Continue)
    }
}
