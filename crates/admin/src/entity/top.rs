//! `/services` and `/services/S`.

use std::sync::Arc;

use http::{Method, StatusCode};
use keelgate_entities::Schema;

use super::{certificates, key, listing, path_name, writer};
use crate::admin::State;
use crate::arguments::Arguments;
use crate::call::Call;
use crate::failure::Failure;
use crate::respond;
use crate::routes::{Bodies, Outcome, Routes};

pub(super) fn add(routes: &mut Routes, schema: &Schema) {
    let (kind, name) = (schema.name, path_name(schema));
    let collection = format!("/{name}");
    routes.on(Method::GET, &collection, move |state, call| {
        list(state, call, kind, name)
    });
    routes.on(Method::POST, &collection, move |state, call| {
        create(state, call, kind)
    });
    routes.bodies(&collection, Bodies::Collection(kind));
    let single = format!("/{name}/{{{kind}}}");
    routes.bodies(&single, Bodies::Single(kind));
    for method in super::SINGLE {
        routes.on(method, &single, move |state, call| {
            single_entity(state, call, kind)
        });
    }
}

pub(super) async fn list(
    state: Arc<State>,
    call: Call,
    kind: &'static str,
    name: &'static str,
) -> Outcome {
    let mut page = state.store().page(kind, listing::request(&call)?).await?;
    if kind == "certificates" {
        certificates::show_names(&state, &mut page.data).await?;
    }
    Ok(listing::answer(
        &page.data,
        page.offset.as_deref(),
        &format!("/{name}"),
        &listing::repeated(&call),
    ))
}

async fn create(state: Arc<State>, call: Call, kind: &'static str) -> Outcome {
    let arguments = Arguments::read(&call).await?;
    let created = writer::transact(&state, &call, "create", kind, move |writer| {
        let input = arguments.of_kind(writer.schemas, kind, None);
        writer.insert(kind, input)
    });
    Ok(respond::json(StatusCode::CREATED, &created.await?))
}

async fn single_entity(state: Arc<State>, call: Call, kind: &'static str) -> Outcome {
    let segment = call.segment(kind).to_owned();
    act(&state, &call, kind, segment).await
}

/// Reads or writes the entity that a part of a path names.
pub(super) async fn act(
    state: &State,
    call: &Call,
    kind: &'static str,
    segment: String,
) -> Outcome {
    let schema = state.schemas().kind(kind).ok_or_else(Failure::not_found)?;
    let key = key::parse(state.schemas(), schema, &segment)?;
    match call.method {
        Method::PUT => {
            let arguments = Arguments::read(call).await?;
            let put = writer::transact(state, call, "create or update", kind, move |writer| {
                let input = arguments.of_kind(writer.schemas, kind, None);
                writer.upsert(kind, &key, input)
            });
            Ok(respond::ok(&put.await?))
        }
        Method::PATCH => {
            let arguments = Arguments::read(call).await?;
            let patched = writer::transact(state, call, "update", kind, move |writer| {
                let schemas = writer.schemas;
                writer.update(kind, &key, |current| {
                    arguments.for_update(schemas, kind, current)
                })
            });
            Ok(respond::ok(&patched.await?))
        }
        Method::DELETE => {
            let deleted = writer::transact(state, call, "remove", kind, move |writer| {
                writer.delete(kind, &key)
            });
            deleted.await?;
            Ok(respond::no_content())
        }
        _ => {
            let found = state.store().get(kind, key).await?;
            Ok(respond::ok(&found.ok_or_else(Failure::not_found)?))
        }
    }
}
