//! Envoy.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::Setting;

const MANAGER: &str = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const ROUTER: &str = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
const TLS: &str =
    "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";

pub(super) fn prepare(binary: &Path, setting: &Setting<'_>) -> anyhow::Result<Command> {
    let tls = json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": TLS,
            "common_tls_context": {
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_certificates": [{
                    "certificate_chain": {"filename": setting.certificate},
                    "private_key": {"filename": setting.key},
                }],
            },
        },
    });
    let routes: Vec<Value> = (0..setting.policy.routes)
        .map(|route| {
            json!({
                "match": {"prefix": setting.policy.path(route)},
                "route": {"cluster": "upstream"},
            })
        })
        .collect();
    let config = json!({
        "static_resources": {
            "listeners": [
                listener("http", setting.port, &routes, &Value::Null),
                listener("https", setting.tls_port, &routes, &tls),
            ],
            "clusters": [{
                "name": "upstream",
                "type": "STATIC",
                "connect_timeout": "5s",
                "load_assignment": {
                    "cluster_name": "upstream",
                    "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket(setting.upstream.port())}}]}],
                },
            }],
        },
    });
    let file = setting.directory.join("envoy.json");
    std::fs::write(&file, config.to_string())?;
    let mut command = Command::new(binary);
    command
        .arg("-c")
        .arg(file)
        .args(["--concurrency", "2", "--base-id"]);
    command
        .arg(setting.port.to_string())
        .args(["--log-level", "warn"]);
    Ok(command)
}

fn socket(port: u16) -> Value {
    json!({"socket_address": {"address": "127.0.0.1", "port_value": port}})
}

fn listener(name: &str, port: u16, routes: &[Value], tls: &Value) -> Value {
    let mut chain = json!({
        "filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": MANAGER,
                "stat_prefix": name,
                "use_remote_address": true,
                "route_config": {
                    "virtual_hosts": [{
                        "name": "all",
                        "domains": ["*"],
                        "routes": routes,
                    }],
                },
                "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": ROUTER}}],
            },
        }],
    });
    if !tls.is_null() {
        chain["transport_socket"] = tls.clone();
    }
    json!({"name": name, "address": socket(port), "enable_reuse_port": true, "filter_chains": [chain]})
}
