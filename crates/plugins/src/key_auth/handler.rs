//! How `key-auth` finds and judges a key.

use std::borrow::Cow;
use std::sync::Arc;

use crate::HeaderMap;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use http::{Method, StatusCode};
use keelgate_entities::kinds;

use super::config::Config;
use crate::authentication::{admit, challenge, judge};
use crate::body::{Form, Format};
use crate::error::Reason;
use crate::exchange::Credential;
use crate::registry::Node;
use crate::{
    Access, Directory, Exchange, Flow, Phases, Plugin, Response, arguments, body, setting,
};

/// A compiled `key-auth`.
pub(crate) struct KeyAuth {
    names: Vec<Name>,
    hide_credentials: bool,
    anonymous: Option<String>,
    key_in_header: bool,
    key_in_query: bool,
    key_in_body: bool,
    run_on_preflight: bool,
    challenge: HeaderValue,
    directory: Arc<Directory>,
}

struct Name {
    text: String,
    header: HeaderName,
    /// The same with dashes for underscores, under which a header is found, too.
    dashed: Option<HeaderName>,
}

/// The secret that a client sends.
type Key<'e> = Cow<'e, [u8]>;

/// What stands under one of the names.
enum Found<'e> {
    Nothing,
    Key(Key<'e>),
    Several,
}

const NO_KEY: &str = "No API key found in request";
const DUPLICATE: &str = "Duplicate API key found";
const UNKNOWN: &str = "Unauthorized";

/// Compiles a configuration.
pub(crate) fn compile(
    _node: &Node,
    plugin: &kinds::Plugin,
    directory: &Arc<Directory>,
) -> Result<Arc<dyn Plugin>, Reason> {
    let config: Config = setting::decode(&plugin.config)?;
    let challenge = challenge("Key", config.realm.as_deref());
    let names = config.key_names.into_iter().map(Name::new);
    Ok(Arc::new(KeyAuth {
        names: names.collect::<Result<_, _>>()?,
        hide_credentials: config.hide_credentials,
        anonymous: config.anonymous,
        key_in_header: config.key_in_header,
        key_in_query: config.key_in_query,
        key_in_body: config.key_in_body,
        run_on_preflight: config.run_on_preflight,
        challenge: setting::header_value("realm", &challenge)?,
        directory: Arc::clone(directory),
    }))
}

impl Name {
    fn new(text: String) -> Result<Self, Reason> {
        let dashed = text
            .contains('_')
            .then(|| setting::header_name("key_names", &text.replace('_', "-")))
            .transpose()?;
        Ok(Self {
            header: setting::header_name("key_names", &text)?,
            dashed,
            text,
        })
    }
}

impl KeyAuth {
    /// Admits the caller, or says why not.
    fn authenticate<'r>(&'r self, exchange: &mut Exchange<'r>) -> Result<(), &'static str> {
        let Some((name, key)) = self.find(exchange)? else {
            return Err(NO_KEY);
        };
        let known = self.directory.key(&key);
        // What the key was borrowed from is changed below.
        let empty = key.is_empty();
        drop(key);
        if self.hide_credentials {
            self.hide(exchange, name);
        }
        if empty {
            return Err(NO_KEY);
        }
        let (key, consumer) = known.ok_or(UNKNOWN)?;
        let credential = Credential { id: key.id };
        let credential = (credential, Some(key.header.clone()));
        admit(exchange, &self.directory, consumer, Some(credential));
        Ok(())
    }

    /// The first name under which a text stands, and the text.
    fn find<'e>(
        &self,
        exchange: &'e Exchange<'_>,
    ) -> Result<Option<(&Name, Key<'e>)>, &'static str> {
        let mut form = None;
        for name in &self.names {
            let mut found = Found::Nothing;
            if self.key_in_header {
                found = in_headers(&exchange.headers, name);
            }
            if matches!(found, Found::Nothing)
                && self.key_in_query
                && let Some(query) = &exchange.query
            {
                found = in_query(query, name);
            }
            if matches!(found, Found::Nothing) && self.key_in_body {
                let form = form.get_or_insert_with(|| body::form(exchange));
                found = form
                    .as_ref()
                    .map_or(Found::Nothing, |form| in_body(form, name));
            }
            match found {
                Found::Nothing => (),
                Found::Key(key) => return Ok(Some((name, key))),
                Found::Several => return Err(DUPLICATE),
            }
        }
        Ok(None)
    }

    fn hide(&self, exchange: &mut Exchange<'_>, name: &Name) {
        if let Some(query) = &exchange.query
            && let Some(rest) = arguments::without(query, name.text.as_bytes())
        {
            exchange.query = (!rest.is_empty()).then_some(rest);
        }
        exchange.headers.remove(&name.header);
        if let Some(dashed) = &name.dashed {
            exchange.headers.remove(dashed);
        }
        if self.key_in_body
            && let Some(mut form) = body::form(exchange)
            && form.remove(&name.text)
        {
            let rest = form.encode();
            body::set(exchange, rest);
        }
    }

    fn refuse(&self, message: &'static str) -> Response {
        let mut response = Response::error(StatusCode::UNAUTHORIZED, message);
        response
            .headers
            .insert(WWW_AUTHENTICATE, self.challenge.clone());
        response
    }
}

impl Plugin for KeyAuth {
    fn phases(&self) -> Phases {
        Phases {
            access: true,
            request_body: self.key_in_body,
            ..Phases::default()
        }
    }

    fn wants_request_body(&self, exchange: &Exchange<'_>) -> bool {
        Format::of(exchange.headers.get(CONTENT_TYPE)).is_some()
    }

    fn access<'a, 'r: 'a>(&'r self, exchange: &'a mut Exchange<'r>) -> Access<'a> {
        if !self.run_on_preflight && exchange.method == Method::OPTIONS {
            return Access::Ready(Flow::Continue);
        }
        Access::Ready(judge(
            exchange,
            &self.directory,
            self.anonymous.as_deref(),
            |exchange| self.authenticate(exchange),
            |message| self.refuse(message),
        ))
    }
}

fn in_headers<'e>(headers: &'e HeaderMap, name: &Name) -> Found<'e> {
    let found = one(headers.get_all(&name.header).iter().map(bytes));
    match (found, &name.dashed) {
        (Found::Nothing, Some(dashed)) => one(headers.get_all(dashed).iter().map(bytes)),
        (found, _) => found,
    }
}

fn bytes(value: &HeaderValue) -> Cow<'_, [u8]> {
    Cow::Borrowed(value.as_bytes())
}

fn in_query<'e>(query: &'e str, name: &Name) -> Found<'e> {
    let mut values = arguments::find(query.as_bytes(), name.text.as_bytes());
    match (values.next(), values.next()) {
        (None | Some(None), None) => Found::Nothing,
        (Some(Some(value)), None) => Found::Key(value),
        (_, Some(_)) => Found::Several,
    }
}

fn in_body<'e>(form: &Form<'e>, name: &Name) -> Found<'e> {
    let owned = |value: &[u8]| Cow::Owned(value.to_vec());
    match form {
        Form::Arguments(arguments) => {
            let mut values = arguments.values(name.text.as_bytes());
            match (values.next(), values.next()) {
                (Some(Some(value)), None) => Found::Key(owned(value)),
                (_, Some(_)) => Found::Several,
                (None | Some(None), None) => Found::Nothing,
            }
        }
        Form::Multipart(parts) => one(parts.values(&name.text).map(owned)),
        Form::Json(json) => match json.get(&name.text) {
            Some(serde_json::Value::String(text)) => Found::Key(owned(text.as_bytes())),
            Some(serde_json::Value::Array(_) | serde_json::Value::Object(_)) => Found::Several,
            _ => Found::Nothing,
        },
    }
}

fn one<'e>(mut values: impl Iterator<Item = Cow<'e, [u8]>>) -> Found<'e> {
    match (values.next(), values.next()) {
        (None, _) => Found::Nothing,
        (Some(value), None) => Found::Key(value),
        (Some(_), Some(_)) => Found::Several,
    }
}
