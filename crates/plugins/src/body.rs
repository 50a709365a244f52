//! Request bodies that plugins read and change.

use bytes::Bytes;
use http::HeaderValue;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use serde_json::{Map, Value};

use crate::Exchange;
use crate::arguments::Arguments;
use crate::multipart::Multipart;

/// The formats of bodies with named fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// `application/json`.
    Json,
    /// `multipart/form-data`.
    Multipart,
    /// `application/x-www-form-urlencoded`.
    Arguments,
}

/// A body with named fields.
#[derive(Debug)]
pub(crate) enum Form<'a> {
    Json(Map<String, Value>),
    Multipart(Multipart<'a>),
    Arguments(Arguments<'a>),
}

impl Format {
    /// The format that a content type speaks of, wherever in it.
    pub(crate) fn of(content_type: Option<&HeaderValue>) -> Option<Self> {
        let content_type = content_type?.to_str().ok()?.to_ascii_lowercase();
        [
            ("application/json", Self::Json),
            ("multipart/form-data", Self::Multipart),
            ("application/x-www-form-urlencoded", Self::Arguments),
        ]
        .into_iter()
        .find(|(name, _)| content_type.contains(name))
        .map(|(_, format)| format)
    }
}

/// Reads the request body by its content type. `None` when it has no named fields.
pub(crate) fn form<'e>(exchange: &'e Exchange<'_>) -> Option<Form<'e>> {
    let content_type = exchange.headers.get(CONTENT_TYPE);
    let body = exchange.request_body.as_deref()?;
    match Format::of(content_type)? {
        Format::Json => match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => Some(Form::Json(fields)),
            _ => None,
        },
        Format::Multipart => {
            let content_type = content_type?.to_str().ok()?;
            Multipart::parse(content_type, body).map(Form::Multipart)
        }
        Format::Arguments => Some(Form::Arguments(Arguments::parse(body))),
    }
}

impl Form<'_> {
    /// Drops all fields of one name; tells whether there were any.
    pub(crate) fn remove(&mut self, name: &str) -> bool {
        match self {
            Self::Json(fields) => fields.remove(name).is_some(),
            Self::Multipart(parts) => {
                let there = parts.contains(name);
                parts.remove(name);
                there
            }
            Self::Arguments(arguments) => {
                let there = arguments.contains(name.as_bytes());
                arguments.remove(name.as_bytes());
                there
            }
        }
    }

    pub(crate) fn encode(&self) -> Bytes {
        match self {
            Self::Json(fields) => json(fields),
            Self::Multipart(parts) => parts.encode().into(),
            Self::Arguments(arguments) => arguments.encode().into(),
        }
    }
}

/// Writes a JSON object.
pub(crate) fn json(fields: &Map<String, Value>) -> Bytes {
    let body = serde_json::to_vec(fields);
    body.expect("an object of JSON values is written to memory")
        .into()
}

/// Replaces the request body, and the headers that frame it.
pub(crate) fn set(exchange: &mut Exchange<'_>, body: Bytes) {
    exchange.headers.remove(TRANSFER_ENCODING);
    exchange
        .headers
        .insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    exchange.request_body = Some(body);
}
