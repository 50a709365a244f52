//! `/services/S/routes` and `/services/S/routes/R`: entities below the one that they refer to.

use std::sync::Arc;

use http::{Method, StatusCode};
use keelgate_entities::{Object, Schema};
use keelgate_store::{Key, PageRequest, Parent};
use serde_json::json;

use super::writer::{Writer, id_of, refers_to};
use super::{Names, listing, nested_name, path_name, writer};
use crate::admin::State;
use crate::arguments::Arguments;
use crate::call::Call;
use crate::failure::Failure;
use crate::respond;
use crate::routes::{Bodies, Outcome, Routes};

pub(super) fn add(routes: &mut Routes, child: &Schema, parent: &Schema, names: Names) {
    let (above, below) = (path_name(parent), nested_name(child));
    let collection = format!("/{above}/{{{}}}/{below}", parent.name);
    routes.on(Method::GET, &collection, move |state, call| {
        list(state, call, names, above, below)
    });
    routes.on(Method::POST, &collection, move |state, call| {
        create(state, call, names)
    });
    routes.bodies(&collection, Bodies::Collection(child.name));
    let single = format!("{collection}/{{{}}}", child.name);
    routes.bodies(&single, Bodies::Single(child.name));
    for method in super::SINGLE {
        routes.on(method, &single, move |state, call| act(state, call, names));
    }
}

/// The owner that the path names.
pub(super) async fn owner(state: &State, kind: &str, segment: &str) -> Result<Object, Failure> {
    let (kind, segment) = (kind.to_owned(), segment.to_owned());
    let read = writer::view(state, move |writer| Ok(writer.owner(&kind, &segment)?.0));
    read.await
}

async fn list(
    state: Arc<State>,
    call: Call,
    names: Names,
    above: &'static str,
    below: &'static str,
) -> Outcome {
    let segment = call.segment(names.parent);
    let owner = owner(&state, names.parent, segment).await?;
    let request = PageRequest {
        parent: Some(Parent {
            field: names.field.to_owned(),
            id: id_of(&owner),
        }),
        // Kong filters whole collections only.
        tags: None,
        ..listing::request(&call)?
    };
    let page = state.store().page(names.child, request).await?;
    let path = format!("/{above}/{}/{below}", listing::token(segment));
    Ok(listing::answer(
        &page.data,
        page.offset.as_deref(),
        &path,
        "",
    ))
}

pub(super) async fn create(state: Arc<State>, call: Call, names: Names) -> Outcome {
    let arguments = Arguments::read(&call).await?;
    let segment = call.segment(names.parent).to_owned();
    let created = writer::transact(&state, &call, "create", names.child, move |writer| {
        let (_, owner) = writer.owner(names.parent, &segment)?;
        let mut input = arguments.of_kind(writer.schemas, names.child, None);
        input.insert(names.field.to_owned(), json!({ "id": owner }));
        writer.insert(names.child, input)
    });
    Ok(respond::json(StatusCode::CREATED, &created.await?))
}

pub(super) async fn act(state: Arc<State>, call: Call, names: Names) -> Outcome {
    act_with(state, call, names, |_| ()).await
}

/// Like [`act`], and completes what a PUT writes.
pub(super) async fn act_with(
    state: Arc<State>,
    call: Call,
    names: Names,
    complete: impl FnOnce(&mut Object) + Send + 'static,
) -> Outcome {
    let Names {
        child,
        parent,
        field,
    } = names;
    let above = call.segment(parent).to_owned();
    let below = call.segment(child).to_owned();
    match call.method {
        Method::PUT => {
            let arguments = Arguments::read(&call).await?;
            let put = writer::transact(&state, &call, "create or update", child, move |writer| {
                let (_, owner) = writer.owner(parent, &above)?;
                let mut input = arguments.of_kind(writer.schemas, child, None);
                input.insert(field.to_owned(), json!({ "id": owner }));
                complete(&mut input);
                let key = writer.key(child, &below)?;
                writer.upsert(child, &key, input)
            });
            Ok(respond::ok(&put.await?))
        }
        Method::PATCH => {
            let arguments = Arguments::read(&call).await?;
            let patched = writer::transact(&state, &call, "update", child, move |writer| {
                let (entity, key) = belonging(writer, names, &above, &below)?;
                let owner = entity.get(field).cloned().unwrap_or_default();
                let schemas = writer.schemas;
                writer.update(child, &key, |current| {
                    let mut patch = arguments.for_update(schemas, child, current);
                    // What is derived from the owner, as digests of passwords are, needs it.
                    patch.entry(field).or_insert(owner);
                    patch
                })
            });
            Ok(respond::ok(&patched.await?))
        }
        Method::DELETE => {
            let deleted = writer::transact(&state, &call, "remove", child, move |writer| {
                let (_, key) = belonging(writer, names, &above, &below)?;
                writer.delete(child, &key)
            });
            deleted.await?;
            Ok(respond::no_content())
        }
        _ => {
            let read = writer::view(&state, move |writer| {
                Ok(belonging(writer, names, &above, &below)?.0)
            });
            Ok(respond::ok(&read.await?))
        }
    }
}

/// The child that the path names, if it belongs to the parent that the path names.
fn belonging(
    writer: &mut Writer<'_, '_>,
    names: Names,
    above: &str,
    below: &str,
) -> Result<(Object, Key), Failure> {
    let (_, owner) = writer.owner(names.parent, above)?;
    let found = writer.find(names.child, below)?;
    let entity = found
        .filter(|entity| refers_to(entity, names.field).as_deref() == Some(&*owner))
        .ok_or_else(Failure::not_found)?;
    let key = Key::Id(id_of(&entity));
    Ok((entity, key))
}
