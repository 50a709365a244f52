//! `/routes/R/service`: the entity that another one refers to.

use std::sync::Arc;

use http::{Method, StatusCode};
use keelgate_entities::{Object, Schema};
use keelgate_store::Key;
use serde_json::json;
use uuid::Uuid;

use super::writer::{id_of, refers_to};
use super::{Names, certificates, path_name, writer};
use crate::admin::State;
use crate::arguments::Arguments;
use crate::call::Call;
use crate::failure::Failure;
use crate::respond;
use crate::routes::{Bodies, Outcome, Routes};

pub(super) fn add(routes: &mut Routes, child: &Schema, parent: &Schema, names: Names) {
    let path = format!("/{}/{{{}}}/{}", path_name(child), child.name, names.field);
    routes.bodies(&path, Bodies::Single(parent.name));
    for method in super::SINGLE {
        routes.on(method, &path, move |state, call| act(state, call, names));
    }
}

async fn act(state: Arc<State>, call: Call, names: Names) -> Outcome {
    let Names {
        child,
        parent,
        field,
    } = names;
    let segment = call.segment(child).to_owned();
    match call.method {
        Method::PUT => {
            let arguments = Arguments::read(&call).await?;
            let put = writer::transact(&state, &call, "create or update", parent, move |writer| {
                let (from, from_id) = writer.owner(child, &segment)?;
                let referred = refers_to(&from, field);
                let key = Key::Id(
                    referred
                        .clone()
                        .unwrap_or_else(|| Uuid::new_v4().to_string()),
                );
                let input = arguments.of_kind(writer.schemas, parent, None);
                let entity = writer.upsert(parent, &key, input)?;
                if referred.is_none() {
                    let reference = json!({ "id": id_of(&entity) });
                    let patch = Object::from_iter([(field.to_owned(), reference)]);
                    writer.update(child, &Key::Id(from_id), |_| patch)?;
                }
                Ok(entity)
            });
            Ok(respond::ok(&put.await?))
        }
        Method::PATCH => {
            let arguments = Arguments::read(&call).await?;
            let patched = writer::transact(&state, &call, "update", parent, move |writer| {
                let (from, _) = writer.owner(child, &segment)?;
                let id = refers_to(&from, field).ok_or_else(Failure::not_found)?;
                let schemas = writer.schemas;
                writer.update(parent, &Key::Id(id), |current| {
                    arguments.for_update(schemas, parent, current)
                })
            });
            Ok(respond::ok(&patched.await?))
        }
        method => {
            let read = writer::view(&state, move |writer| {
                let (from, _) = writer.owner(child, &segment)?;
                let id = refers_to(&from, field).ok_or_else(Failure::not_found)?;
                let entity = writer.transaction.get(parent, &Key::Id(id))?;
                let mut entity = entity.ok_or_else(Failure::not_found)?;
                certificates::leave_names_out(parent, &mut entity);
                Ok(entity)
            });
            let entity = read.await?;
            if method == Method::DELETE {
                // An entity is not removed by way of another one that needs it.
                let status = StatusCode::METHOD_NOT_ALLOWED;
                return Err(Failure::message(status, "Method not allowed"));
            }
            Ok(respond::ok(&entity))
        }
    }
}
