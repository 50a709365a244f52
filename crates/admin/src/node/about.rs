//! `/`, `/status`, `/endpoints`, `/timers`, `/metrics`, `/plugins/enabled`.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::response::IntoResponse;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, StatusCode};
use keelgate_entities::{KONG_API_VERSION, Object};
use keelgate_store::StoreExt;
use serde_json::{Value, json};

use crate::admin::{Admin, Mode, State};
use crate::call::Call;
use crate::failure::Failure;
use crate::respond;
use crate::routes::{Outcome, Routes};

const METRICS: HeaderValue = HeaderValue::from_static("text/plain; charset=UTF-8");

pub(super) fn add(routes: &mut Routes) {
    routes.on(Method::GET, "/", root);
    routes.on(Method::GET, "/status", status);
    routes.on(Method::GET, "/status/dns", status_dns);
    routes.on(Method::GET, "/endpoints", endpoints);
    routes.on(Method::GET, "/timers", timers);
    routes.on(Method::GET, "/metrics", metrics);
    routes.on(Method::GET, "/plugins/enabled", plugins_enabled);
}

async fn root(state: Arc<State>, _call: Call) -> Outcome {
    let node = &state.admin.node;
    let available: Object = state
        .schemas()
        .plugins()
        .map(|plugin| {
            let about = json!({ "version": plugin.version, "priority": plugin.priority });
            (plugin.name.to_owned(), about)
        })
        .collect();
    let enabled: BTreeSet<String> = state
        .store()
        .read(|transaction| {
            let plugins = transaction.all("plugins")?;
            let names = plugins
                .iter()
                .filter_map(|plugin| plugin.get("name")?.as_str());
            Ok::<_, Failure>(names.map(str::to_owned).collect())
        })
        .await?;
    let mut configuration = node.configuration.clone();
    configuration.insert("log_level".to_owned(), json!((state.admin.log.level)()));
    Ok(respond::ok(&json!({
        "tagline": "Welcome to Keelgate",
        "version": KONG_API_VERSION,
        "keelgate_version": env!("CARGO_PKG_VERSION"),
        "edition": "community",
        "hostname": node.hostname,
        "node_id": node.id,
        "timers": { "running": 0, "pending": 0 },
        "plugins": { "available_on_server": available, "enabled_in_cluster": enabled },
        // Clients look for the member; there is no Lua here.
        "lua_version": "none",
        "configuration": configuration,
        "pids": { "master": std::process::id(), "workers": [std::process::id()] },
    })))
}

/// What `/metrics` tells, on the Admin API and on the status API.
pub(crate) async fn metrics_body(admin: &Admin) -> String {
    let reachable = admin.store.position().await.is_ok();
    (admin.metrics)(reachable)
}

async fn status(state: Arc<State>, call: Call) -> Outcome {
    check_unit(&call)?;
    let body = status_body(&state.admin).await;
    Ok(respond::ok(&body))
}

/// What `/status` tells, on the Admin API and on the status API.
pub(crate) async fn status_body(admin: &Admin) -> Object {
    let mut body = Object::new();
    body.insert("server".to_owned(), (admin.server)());
    body.insert("memory".to_owned(), memory());
    match &admin.mode {
        Mode::Database => {
            let reachable = admin.store.position().await.is_ok();
            body.insert("database".to_owned(), json!({ "reachable": reachable }));
        }
        Mode::Dbless(loader) => {
            body.insert("configuration_hash".to_owned(), json!(loader.hash()));
        }
    }
    body.insert("keelgate".to_owned(), (admin.source_report)());
    body
}

/// Memory of the process. Kong tells of Lua machines and shared dictionaries, of which there are
/// none.
fn memory() -> Value {
    let mut memory = json!({ "lua_shared_dicts": {}, "workers_lua_vms": [] });
    if let Some(resident) = resident() {
        memory["process"] = json!({ "pid": std::process::id(), "resident_bytes": resident });
    }
    memory
}

/// Resident memory in bytes, where the system tells.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// `unit` and `scale` of memory figures are accepted as Kong has them.
fn check_unit(call: &Call) -> Result<(), Failure> {
    let unit = call.query("unit").unwrap_or("m");
    if !["b", "k", "m", "g"].contains(&unit.to_ascii_lowercase().as_str()) {
        let message = format!("invalid unit '{unit}' (expected 'k/K', 'm/M', or 'g/G')");
        return Err(Failure::bad_request(message));
    }
    Ok(())
}

async fn status_dns(_state: Arc<State>, _call: Call) -> Outcome {
    let status = StatusCode::NOT_IMPLEMENTED;
    Err(Failure::message(
        status,
        "not implemented with the legacy DNS client",
    ))
}

async fn endpoints(state: Arc<State>, _call: Call) -> Outcome {
    let paths: Vec<_> = state.paths.iter().map(|known| &known.path).collect();
    Ok(respond::ok(&json!({ "data": paths })))
}

async fn timers(state: Arc<State>, _call: Call) -> Outcome {
    Ok(respond::ok(&json!({
        "worker": { "id": 0, "count": state.admin.node.workers },
        "stats": {},
    })))
}

async fn metrics(state: Arc<State>, _call: Call) -> Outcome {
    Ok(([(CONTENT_TYPE, METRICS)], metrics_body(&state.admin).await).into_response())
}

async fn plugins_enabled(state: Arc<State>, _call: Call) -> Outcome {
    let mut names: Vec<_> = state
        .schemas()
        .plugins()
        .map(|plugin| plugin.name)
        .collect();
    names.sort_unstable();
    Ok(respond::ok(&json!({ "enabled_plugins": names })))
}
