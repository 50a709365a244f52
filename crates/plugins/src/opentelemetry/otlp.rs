//! The messages of OTLP that are sent: what of `opentelemetry-proto` 1 is used here.

use serde_json::Value as Json;

use super::protobuf;
use crate::logging::batch::Batch;

/// What spans and records are among, before and behind them, in a request to a collector. Requests with
/// spans and with records have the same shape.
pub(super) struct Export {
    /// What the gateway is.
    resource: Vec<u8>,
    /// Which part of it tells.
    scope: Vec<u8>,
}

/// The field of a scope's spans or records in the message that they are sent in.
const ITEM: u32 = 2;

/// Appends a span or a record as it stands in a request.
pub(super) fn item(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    protobuf::message(out, ITEM, write);
}

impl Export {
    /// Of a gateway with these attributes.
    pub(super) fn of<'a>(attributes: impl IntoIterator<Item = (&'a str, &'a Json)>) -> Self {
        let (mut resource, mut scope) = (Vec::new(), Vec::new());
        protobuf::message(&mut resource, 1, |out| {
            for (name, value) in attributes {
                attribute(out, 1, name, |out| any(out, value));
            }
        });
        protobuf::message(&mut scope, 1, |out| {
            protobuf::bytes(out, 1, b"keelgate");
            protobuf::bytes(out, 2, env!("CARGO_PKG_VERSION").as_bytes());
        });
        Self { resource, scope }
    }

    /// A request with these items.
    pub(super) fn request(&self, items: &Batch) -> Vec<u8> {
        let of_scope = self.scope.len() + items.size();
        let of_resource = self.resource.len() + 1 + protobuf::width(of_scope) + of_scope;
        let mut request = Vec::with_capacity(of_resource + 16);
        protobuf::begin(&mut request, 1, of_resource);
        request.extend_from_slice(&self.resource);
        protobuf::begin(&mut request, 2, of_scope);
        request.extend_from_slice(&self.scope);
        for items in items.pieces() {
            request.extend_from_slice(items);
        }
        request
    }
}

/// Appends an attribute, whose value `write` appends.
pub(super) fn attribute(
    out: &mut Vec<u8>,
    field: u32,
    name: &str,
    write: impl FnOnce(&mut Vec<u8>),
) {
    protobuf::message(out, field, |out| {
        protobuf::bytes(out, 1, name.as_bytes());
        protobuf::message(out, 2, write);
    });
}

/// Appends a value that is a text.
pub(super) fn text(out: &mut Vec<u8>, text: &str) {
    protobuf::bytes(out, 1, text.as_bytes());
}

/// Appends a value that is a text, which `write` appends.
pub(super) fn written(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    protobuf::message(out, 1, write);
}

/// Appends a value that is a number.
pub(super) fn integer(out: &mut Vec<u8>, number: i64) {
    protobuf::number(out, 3, number);
}

fn any(out: &mut Vec<u8>, value: &Json) {
    match value {
        Json::Bool(value) => protobuf::number(out, 2, (*value).into()),
        Json::Number(number) => match number.as_i64() {
            Some(number) => integer(out, number),
            None => protobuf::fixed64(out, 4, number.as_f64().unwrap_or_default().to_bits()),
        },
        Json::String(value) => text(out, value),
        other => text(out, &other.to_string()),
    }
}
