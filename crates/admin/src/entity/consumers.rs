//! What consumers do beyond other kinds: they are found by `custom_id`, too.

use std::sync::Arc;

use http::Method;
use keelgate_store::Key;
use serde_json::json;

use super::top;
use crate::admin::State;
use crate::call::Call;
use crate::failure::Failure;
use crate::respond;
use crate::routes::{Outcome, Routes};

pub(super) fn add(routes: &mut Routes) {
    routes.on(Method::GET, "/consumers", list);
}

async fn list(state: Arc<State>, call: Call) -> Outcome {
    match call.query("custom_id") {
        None => top::list(state, call, "consumers", "consumers").await,
        Some("") => Err(Failure::bad_request("custom_id must be an unempty string")),
        Some(custom_id) => {
            let key = Key::field("custom_id", custom_id);
            let found = state.store().get("consumers", key).await?;
            let data: Vec<_> = found.into_iter().collect();
            Ok(respond::ok(&json!({ "data": data, "next": null })))
        }
    }
}
