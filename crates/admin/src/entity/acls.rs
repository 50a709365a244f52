//! Below their consumer, groups go by their names, too.

use std::sync::Arc;

use http::{Method, StatusCode};
use keelgate_entities::Schemas;
use serde_json::{Value, json};
use uuid::Uuid;

use super::writer::id_of;
use super::{Names, child, key, writer};
use crate::admin::State;
use crate::call::Call;
use crate::failure::Failure;
use crate::routes::{Outcome, Routes};

const NAMES: Names = Names {
    child: "acls",
    parent: "consumers",
    field: "consumer",
};

pub(super) fn add(routes: &mut Routes, schemas: &Schemas) {
    if schemas.kind(NAMES.child).is_none() {
        return;
    }
    for method in super::SINGLE {
        routes.on(method, "/consumers/{consumers}/acls/{acls}", act);
    }
}

async fn act(state: Arc<State>, mut call: Call) -> Outcome {
    let group = call.segment(NAMES.child).to_owned();
    if key::id(&group).is_some() {
        return child::act(state, call, NAMES).await;
    }
    let above = call.segment(NAMES.parent).to_owned();
    let named = group.clone();
    let found = writer::view(&state, move |writer| {
        let owner = writer.find(NAMES.parent, &above)?.ok_or_else(missing)?;
        let owner = id_of(&owner);
        let acls = writer
            .transaction
            .children(NAMES.child, NAMES.field, NAMES.parent, &owner)?;
        let mut acls = acls.into_iter();
        Ok(acls.find(|acl| acl.get("group") == Some(&json!(named))))
    });
    let id = match found.await? {
        Some(acl) => id_of(&acl),
        None if call.method == Method::PUT => Uuid::new_v4().to_string(),
        None => return Err(missing()),
    };
    call.name(NAMES.child, id);
    child::act_with(state, call, NAMES, |input| {
        input.entry("group").or_insert_with(|| Value::String(group));
    })
    .await
}

/// Kong looks groups up before it takes the request on, and answers as its proxy would.
fn missing() -> Failure {
    let request_id = Uuid::new_v4().simple().to_string();
    let body = json!({ "message": "Not found", "request_id": request_id });
    Failure::Body(StatusCode::NOT_FOUND, body)
}
