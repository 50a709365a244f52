//! `/proxy-cache`: the responses that this node keeps.

use std::sync::Arc;

use axum::response::Response;
use http::{Method, StatusCode};
use keelgate_store::Key;

use crate::admin::{Admin, State};
use crate::call::Call;
use crate::entity::id;
use crate::failure::Failure;
use crate::respond;
use crate::routes::{Outcome, Routes};

const ONE: &str = "/proxy-cache/{cache_key}";
const OF_PLUGIN: &str = "/proxy-cache/{plugin_id}/caches/{cache_key}";

pub(super) fn add(routes: &mut Routes, admin: &Admin) {
    if admin.store.schemas().plugin("proxy-cache").is_none() {
        return;
    }
    routes.on(Method::DELETE, "/proxy-cache", clear);
    for method in [Method::GET, Method::DELETE] {
        routes.on(method.clone(), ONE, async |state, call| act(&state, &call));
        routes.on(method, OF_PLUGIN, act_for_plugin);
    }
}

async fn clear(state: Arc<State>, _call: Call) -> Outcome {
    if let Some(responses) = &state.admin.responses {
        responses.clear();
    }
    Ok(respond::no_content())
}

/// All plugins of a node keep their responses in one place, under keys that tell them apart.
async fn act_for_plugin(state: Arc<State>, call: Call) -> Outcome {
    let plugin = id(call.segment("plugin_id")).ok_or_else(missing)?;
    let plugin = state.store().get("plugins", Key::Id(plugin)).await?;
    let is_kept_by_it = plugin.is_some_and(|plugin| {
        let name = plugin.get("name");
        name.is_some_and(|name| name == "proxy-cache")
    });
    match is_kept_by_it {
        true => act(&state, &call),
        false => Err(missing()),
    }
}

fn act(state: &State, call: &Call) -> Result<Response, Failure> {
    let responses = state.admin.responses.as_ref().ok_or_else(missing)?;
    let key = call.segment("cache_key");
    if call.method == Method::DELETE {
        return match responses.remove(key) {
            true => Ok(respond::no_content()),
            false => Err(missing()),
        };
    }
    let found = responses.find(key).ok_or_else(missing)?;
    Ok(respond::ok(&found))
}

fn missing() -> Failure {
    Failure::Page(StatusCode::NOT_FOUND)
}
