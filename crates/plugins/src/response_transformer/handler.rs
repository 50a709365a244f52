//! When `response-transformer` changes what.

use std::sync::Arc;

use crate::HeaderMap;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use keelgate_entities::kinds;

use super::config::Config;
use super::headers::HeaderChanges;
use super::json::JsonChanges;
use crate::error::Reason;
use crate::registry::Node;
use crate::{Directory, Exchange, Phases, Plugin, setting};

/// A compiled `response-transformer`.
pub(crate) struct ResponseTransformer {
    headers: HeaderChanges,
    json: JsonChanges,
}

/// Compiles a configuration.
pub(crate) fn compile(
    _node: &Node,
    plugin: &kinds::Plugin,
    _directory: &Arc<Directory>,
) -> Result<Arc<dyn Plugin>, Reason> {
    let config: Config = setting::decode(&plugin.config)?;
    Ok(Arc::new(ResponseTransformer {
        headers: HeaderChanges::new(&config)?,
        json: JsonChanges::new(&config),
    }))
}

impl ResponseTransformer {
    fn changes_body(&self, headers: &HeaderMap) -> bool {
        !self.json.is_empty() && is_json(headers)
    }
}

/// Whether one of the content types is JSON, or another format in JSON's syntax (`…+json`).
fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE);
    let Some(content_type) = content_type.and_then(|value| value.to_str().ok()) else {
        return false;
    };
    content_type.split(',').any(|content_type| {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        let Some((kind, subtype)) = essence.split_once('/') else {
            return false;
        };
        let subtype = subtype.to_ascii_lowercase();
        kind.eq_ignore_ascii_case("application")
            && (subtype == "json" || subtype.ends_with("+json"))
    })
}

impl Plugin for ResponseTransformer {
    fn phases(&self) -> Phases {
        Phases {
            header_filter: !self.headers.is_empty() || !self.json.is_empty(),
            body_filter: !self.json.is_empty(),
            ..Phases::default()
        }
    }

    fn header_filter<'r>(&'r self, exchange: &mut Exchange<'r>) {
        let headers = &mut exchange.response.headers;
        let changes_body = self.changes_body(headers);
        self.headers.apply(headers);
        if changes_body {
            headers.remove(CONTENT_LENGTH);
        }
    }

    fn wants_whole_body(&self, exchange: &Exchange<'_>) -> bool {
        self.changes_body(&exchange.response.headers)
    }

    fn body_filter<'r>(&'r self, exchange: &mut Exchange<'r>, piece: Bytes, _last: bool) -> Bytes {
        if !self.changes_body(&exchange.response.headers) {
            return piece;
        }
        self.json.apply(&piece).unwrap_or(piece)
    }
}
