//! A template that is accepted can be filled in for every request, and what it makes never breaks
//! out of a header's value.

use std::sync::{Arc, LazyLock};

use keelgate_entities::kinds;
use keelgate_plugins::{Access, Directory, Flow, Registry};
use serde_json::json;
use uuid::Uuid;

use crate::exchange::exchange;
use crate::input::lines;

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| Registry::new(Uuid::nil(), "node.test"));

/// Lines: the template, the query, and the value of a header.
pub(crate) fn run(bytes: &[u8]) {
    let [template, query, header] = lines(bytes);
    let (Ok(template), Ok(query)) = (str::from_utf8(template), str::from_utf8(query)) else {
        return;
    };
    // No reader of requests lets another query through.
    if !query.bytes().all(|byte| byte.is_ascii_graphic()) {
        return;
    }
    let plugin = json!({
        "id": Uuid::nil(),
        "name": "request-transformer",
        "enabled": true,
        "protocols": ["http"],
        "config": {
            "replace": {"uri": template},
            "add": {
                "headers": [format!("x-b:{template}")],
                "querystring": [format!("b:{template}")],
            },
        },
    });
    let plugin: kinds::Plugin = serde_json::from_value(plugin).expect("it is a plugin");
    let Ok(compiled) = REGISTRY.compile(&plugin, &Arc::new(Directory::default())) else {
        return;
    };
    let mut exchange = exchange("x-a", header, query);
    let access = compiled.access(&mut exchange);
    assert!(matches!(
        access,
        Access::Ready(Flow::Continue | Flow::Respond(_))
    ));
    drop(access);
    let breaks = |byte: &u8| matches!(byte, b'\r' | b'\n' | 0);
    if let Some(value) = exchange.headers.get("x-b") {
        assert!(!value.as_bytes().iter().any(breaks));
    }
    let query = exchange.query.unwrap_or_default();
    assert!(
        !query.bytes().any(|byte| breaks(&byte) || byte == b' '),
        "{query}"
    );
}
