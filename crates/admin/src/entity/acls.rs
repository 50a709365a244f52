//! Below their consumer, groups go by their names, too.

use std::sync::Arc;

use http::Method;
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
        let (_, owner) = writer.owner(NAMES.parent, &above)?;
        let acls = writer
            .transaction
            .children(NAMES.child, NAMES.field, NAMES.parent, &owner)?;
        let mut acls = acls.into_iter();
        Ok(acls.find(|acl| acl.get("group") == Some(&json!(named))))
    });
    let id = match found.await? {
        Some(acl) => id_of(&acl),
        None if call.method == Method::PUT => Uuid::new_v4().to_string(),
        None => return Err(Failure::not_found()),
    };
    call.name(NAMES.child, id);
    child::act_with(state, call, NAMES, |input| {
        input.entry("group").or_insert_with(|| Value::String(group));
    })
    .await
}
