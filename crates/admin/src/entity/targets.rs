//! Targets are reached through their upstream only, by id or by `host:port`, and listed with the
//! newest first.

use std::sync::Arc;

use http::Method;
use keelgate_entities::{ApiError, Object};
use keelgate_store::{Key, PageRequest, Parent};
use serde_json::Value;

use super::writer::{Writer, id_of, refers_to};
use super::{Names, child, listing, writer};
use crate::admin::State;
use crate::arguments::Arguments;
use crate::call::Call;
use crate::failure::Failure;
use crate::respond;
use crate::routes::{Outcome, Routes};

pub(super) const NAMES: Names = Names {
    child: "targets",
    parent: "upstreams",
    field: "upstream",
};

const SINGLE: &str = "/upstreams/{upstreams}/targets/{targets}";

pub(super) fn add(routes: &mut Routes) {
    for path in [
        "/targets",
        "/targets/{targets}",
        "/targets/{targets}/upstream",
    ] {
        routes.disable(path);
    }
    let collection = "/upstreams/{upstreams}/targets";
    routes.on(Method::POST, collection, |state, call| {
        child::create(state, call, NAMES)
    });
    for method in super::SINGLE {
        routes.on(method, SINGLE, act);
    }
    add_reading(routes);
}

/// Adds what only reads: on its own, it is part of the status API.
pub(super) fn add_reading(routes: &mut Routes) {
    routes.on(Method::GET, "/upstreams/{upstreams}/targets", list);
    routes.on(Method::GET, "/upstreams/{upstreams}/targets/all", list_all);
    routes.on(Method::GET, SINGLE, act);
}

async fn list(state: Arc<State>, call: Call) -> Outcome {
    let (targets, offset) = newest_first(&state, &call).await?;
    let path = path(&call, "targets");
    Ok(listing::answer(&targets, offset.as_deref(), &path, ""))
}

async fn list_all(state: Arc<State>, call: Call) -> Outcome {
    let owner = child::owner(&state, NAMES.parent, call.segment(NAMES.parent)).await?;
    let request = PageRequest {
        parent: Some(parent(&owner)),
        tags: None,
        ..listing::request(&call)?
    };
    let page = state.store().page(NAMES.child, request).await?;
    let path = path(&call, "targets/all");
    Ok(listing::answer(
        &page.data,
        page.offset.as_deref(),
        &path,
        "",
    ))
}

pub(super) fn path(call: &Call, below: &str) -> String {
    let upstream = listing::token(call.segment(NAMES.parent));
    format!("/upstreams/{upstream}/{below}")
}

fn parent(upstream: &Object) -> Parent {
    Parent {
        field: NAMES.field.to_owned(),
        id: id_of(upstream),
    }
}

/// The targets of the upstream in the path, newest first; the offset is a count.
pub(super) async fn newest_first(
    state: &State,
    call: &Call,
) -> Result<(Vec<Object>, Option<String>), Failure> {
    let owner = child::owner(state, NAMES.parent, call.segment(NAMES.parent)).await?;
    let size = listing::page_size(call)?;
    if !(1..=1000).contains(&size) {
        let message = "size must be an integer between 1 and 1000";
        return Err(ApiError::invalid_size(message).into());
    }
    let from = match call.query("offset") {
        Some(offset) => offset
            .parse::<usize>()
            .map_err(|_| ApiError::invalid_offset(offset, "bad json encoding"))?,
        None => 0,
    };
    let mut all = Vec::new();
    let mut request = PageRequest {
        size: 1000,
        parent: Some(parent(&owner)),
        ..PageRequest::default()
    };
    loop {
        let page = state.store().page(NAMES.child, request.clone()).await?;
        all.extend(page.data);
        request.offset = page.offset;
        if request.offset.is_none() {
            break;
        }
    }
    all.sort_by(|one, other| {
        let created = |target: &Object| target.get("created_at").and_then(Value::as_f64);
        let newer = created(other).partial_cmp(&created(one));
        let by_time = newer.unwrap_or(std::cmp::Ordering::Equal);
        by_time.then_with(|| id_of(other).cmp(&id_of(one)))
    });
    let next = from.saturating_add(size);
    let offset = (next < all.len()).then(|| next.to_string());
    let page = all.into_iter().skip(from).take(size).collect();
    Ok((page, offset))
}

async fn act(state: Arc<State>, call: Call) -> Outcome {
    let above = call.segment(NAMES.parent).to_owned();
    let below = call.segment(NAMES.child).to_owned();
    match call.method {
        // PUT cannot create here: it changes like PATCH.
        Method::PUT | Method::PATCH => {
            let arguments = Arguments::read(&call).await?;
            let patched = writer::transact(&state, &call, "update", NAMES.child, move |writer| {
                let target = find(writer, &above, &below)?;
                let schemas = writer.schemas;
                writer.update(NAMES.child, &Key::Id(id_of(&target)), |current| {
                    arguments.for_update(schemas, NAMES.child, current)
                })
            });
            Ok(respond::ok(&patched.await?))
        }
        Method::DELETE => {
            let deleted = writer::transact(&state, &call, "remove", NAMES.child, move |writer| {
                let target = find(writer, &above, &below)?;
                writer.delete(NAMES.child, &Key::Id(id_of(&target)))
            });
            deleted.await?;
            Ok(respond::no_content())
        }
        _ => {
            let read = writer::view(&state, move |writer| find(writer, &above, &below));
            Ok(respond::ok(&read.await?))
        }
    }
}

pub(super) fn find(
    writer: &mut Writer<'_, '_>,
    above: &str,
    below: &str,
) -> Result<Object, Failure> {
    let (_, owner) = writer.owner(NAMES.parent, above)?;
    let id = super::key::id(below);
    let found = match id {
        Some(id) => writer.transaction.get(NAMES.child, &Key::Id(id))?,
        None => writer
            .transaction
            .children(NAMES.child, NAMES.field, NAMES.parent, &owner)?
            .into_iter()
            .find(|target| target.get("target").and_then(Value::as_str) == Some(below)),
    };
    found
        .filter(|target| refers_to(target, NAMES.field).as_deref() == Some(&*owner))
        .ok_or_else(Failure::not_found)
}
