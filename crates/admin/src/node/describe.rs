//! `/schemas/…`: what entities look like, and whether one would be accepted.

use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::json;

use crate::admin::State;
use crate::arguments::Arguments;
use crate::call::Call;
use crate::failure::Failure;
use crate::respond;
use crate::routes::{Outcome, Routes};

pub(super) fn add(routes: &mut Routes) {
    routes.on(Method::GET, "/schemas/{name}", describe);
    routes.on(Method::GET, "/schemas/plugins/{name}", describe_plugin);
    routes.on(Method::GET, "/plugins/schema/{name}", describe_settings);
    routes.on(Method::GET, "/schemas/vaults/{name}", describe_vault);
    routes.on(Method::POST, "/schemas/{name}/validate", validate);
    for kind in ["plugins", "vaults"] {
        let path = format!("/schemas/{kind}/validate");
        routes.on(Method::POST, &path, move |state, call| {
            validate_kind(state, call, kind.to_owned())
        });
    }
}

fn missing(what: &str, name: &str) -> Failure {
    Failure::message(StatusCode::NOT_FOUND, format!("No {what} named '{name}'"))
}

async fn describe(state: Arc<State>, call: Call) -> Outcome {
    let name = call.segment("name");
    let schema = state.schemas().described(name);
    let schema = schema.ok_or_else(|| missing("entity", name))?;
    Ok(respond::ok(&schema.to_json()))
}

async fn describe_plugin(state: Arc<State>, call: Call) -> Outcome {
    let name = call.segment("name");
    let plugin = state.schemas().plugin(name);
    let plugin = plugin.ok_or_else(|| missing("plugin", name))?;
    Ok(respond::ok(&plugin.to_json()))
}

async fn describe_settings(state: Arc<State>, call: Call) -> Outcome {
    let name = call.segment("name");
    let plugin = state.schemas().plugin(name);
    let plugin = plugin.ok_or_else(|| missing("plugin", name))?;
    Ok(respond::ok(&plugin.config_to_json()))
}

async fn describe_vault(state: Arc<State>, call: Call) -> Outcome {
    let name = call.segment("name");
    let vaults = state.schemas().kind("vaults");
    let vault = vaults.and_then(|vaults| vaults.vault_to_json(name));
    Ok(respond::ok(&vault.ok_or_else(|| missing("vault", name))?))
}

async fn validate(state: Arc<State>, call: Call) -> Outcome {
    let kind = call.segment("name").to_owned();
    validate_kind(state, call, kind).await
}

async fn validate_kind(state: Arc<State>, call: Call, kind: String) -> Outcome {
    let schemas = state.schemas();
    if schemas.described(&kind).is_none() {
        return Err(missing("entity", &kind));
    }
    // Forms are validated as the text that they are.
    let input = Arguments::read(&call).await?.raw();
    schemas.validate(&kind, input, state.now())?;
    Ok(respond::ok(
        &json!({ "message": "schema validation successful" }),
    ))
}
