//! Changes of request bodies.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value};

use super::changes::{FieldChanges, Plain, Rendered};
use crate::Exchange;
use crate::arguments::Arguments;
use crate::body::{self, Format};
use crate::multipart::Multipart;
use crate::response_transformer::json::{append, is_set};

/// Changes the body, if its content type is one with named fields and its content is of that type.
pub(crate) fn apply(changes: &FieldChanges, exchange: &mut Exchange<'_>, rendered: &Rendered) {
    let content_type = exchange.headers.get(CONTENT_TYPE);
    let Some(format) = Format::of(content_type) else {
        return;
    };
    let body = exchange.request_body.as_deref().unwrap_or_default();
    let changed = match format {
        Format::Json => json(changes, body, rendered),
        Format::Arguments => arguments(changes, body, rendered),
        Format::Multipart => content_type
            .and_then(|content_type| content_type.to_str().ok())
            .and_then(|content_type| Multipart::parse(content_type, body))
            .and_then(|parts| multipart(changes, parts, rendered)),
    };
    if let Some(changed) = changed {
        body::set(exchange, changed);
    }
}

fn arguments(changes: &FieldChanges, body: &[u8], rendered: &Rendered) -> Option<Bytes> {
    let mut arguments = Arguments::parse(body);
    // An empty body has nothing to remove, but receives what is added.
    let changed = changes.apply(&mut arguments, rendered);
    (changed && !(body.is_empty() && arguments.is_empty())).then(|| arguments.encode().into())
}

fn json(changes: &FieldChanges, body: &[u8], rendered: &Rendered) -> Option<Bytes> {
    let mut fields = if body.is_empty() {
        Map::new()
    } else {
        match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => fields,
            _ => return None,
        }
    };
    let mut changed = false;
    let text = |value: &Plain| -> Value {
        String::from_utf8_lossy(value.bytes(rendered))
            .into_owned()
            .into()
    };
    for name in &changes.remove {
        changed |= fields.remove(name).is_some();
    }
    for (old, new) in &changes.rename {
        if old != new && is_set(&fields, old) {
            let value = fields.remove(old).unwrap_or_default();
            fields.insert(new.clone(), value);
            changed = true;
        }
    }
    for (name, value) in &changes.replace {
        if is_set(&fields, name) {
            fields.insert(name.clone(), text(value));
            changed = true;
        }
    }
    for (name, value) in &changes.add {
        if !is_set(&fields, name) {
            fields.insert(name.clone(), text(value));
            changed = true;
        }
    }
    for (name, value) in &changes.append {
        append(&mut fields, name, text(value));
        changed = true;
    }
    changed.then(|| body::json(&fields))
}

/// Nothing is appended to multipart forms.
fn multipart(
    changes: &FieldChanges,
    mut parts: Multipart<'_>,
    rendered: &Rendered,
) -> Option<Bytes> {
    let mut changed = false;
    for (old, new) in &changes.rename {
        let value = parts.values(old).next().map(<[u8]>::to_vec);
        if old != new
            && let Some(value) = value
        {
            parts.remove(new);
            parts.push(new, value);
            parts.remove(old);
            changed = true;
        }
    }
    for name in &changes.remove {
        changed |= parts.contains(name);
        parts.remove(name);
    }
    for (name, value) in &changes.replace {
        if parts.contains(name) {
            parts.remove(name);
            parts.push(name, value.bytes(rendered));
            changed = true;
        }
    }
    for (name, value) in &changes.add {
        if !parts.contains(name) {
            parts.push(name, value.bytes(rendered));
            changed = true;
        }
    }
    changed.then(|| parts.encode().into())
}
