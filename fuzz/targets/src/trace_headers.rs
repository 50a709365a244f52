//! Tracing headers of any content are read, and told on, in every format.

use std::sync::{Arc, LazyLock};

use keelgate_entities::kinds;
use keelgate_plugins::{Access, Flow, Plugin, Registry};
use serde_json::json;
use uuid::Uuid;

use crate::exchange::exchange;
use crate::input::lines;

const HEADERS: [&str; 17] = [
    "traceparent",
    "tracestate",
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
    "uber-trace-id",
    "uberctx-a",
    "ot-tracer-traceid",
    "ot-tracer-spanid",
    "x-datadog-trace-id",
    "x-datadog-parent-id",
    "x-amzn-trace-id",
    "x-cloud-trace-context",
    "zipkin-tags",
];

/// One for each format, which looks for it alone and tells it in all.
static PLUGINS: LazyLock<Vec<Arc<dyn Plugin>>> = LazyLock::new(|| {
    let registry = Registry::new(Uuid::nil(), "node.test");
    let formats = ["w3c", "b3", "jaeger", "ot", "datadog", "aws", "gcp"];
    let all = [&formats[..], &["b3-single"]].concat();
    let compile = |format| {
        let plugin = json!({
            "id": Uuid::nil(), "name": "zipkin", "enabled": true, "protocols": ["http"],
            "config": {"propagation": {
                "extract": [format], "inject": all, "default_format": "w3c",
            }},
        });
        let plugin: kinds::Plugin = serde_json::from_value(plugin).expect("it is a plugin");
        registry
            .compile(&plugin, &Arc::default())
            .expect("the settings are good")
    };
    formats.into_iter().map(compile).collect()
});

/// Lines: letters for two headers, the value of the first, and of the second.
pub(crate) fn run(bytes: &[u8]) {
    let [names, value, other] = lines(bytes);
    let [first, second, ..] = *names else {
        return;
    };
    for plugin in &*PLUGINS {
        let name = |at: u8| HEADERS[usize::from(at) % HEADERS.len()];
        let mut exchange = exchange(name(first), value, "");
        if let Ok(other) = http::HeaderValue::from_bytes(other) {
            exchange.headers.append(name(second), other);
        }
        let access = plugin.access(&mut exchange);
        assert!(matches!(access, Access::Ready(Flow::Continue)));
        drop(access);
        let told = exchange.headers.get("traceparent");
        assert!(told.is_some_and(|told| told.len() == 55));
    }
}
