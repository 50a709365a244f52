//! Certificates carry the names of their SNIs, and are found by them.
//!
//! `snis` in a certificate is a shorthand: the names are entities of their own, which are written
//! in the same transaction.

use std::collections::BTreeSet;
use std::sync::Arc;

use http::{Method, StatusCode};
use keelgate_entities::{ApiError, Object};
use keelgate_store::Key;
use serde_json::{Value, json};
use uuid::Uuid;

use super::writer::{Writer, id_of, refers_to};
use super::{check_unique, key as keys, top, writer};
use crate::admin::State;
use crate::call::Call;
use crate::failure::Failure;
use crate::respond;
use crate::routes::{Outcome, Routes};

const KIND: &str = "certificates";
const SNIS: &str = "snis";

pub(super) fn add(routes: &mut Routes) {
    let path = "/certificates/{certificates}";
    for method in super::SINGLE {
        routes.on(method, path, act);
    }
    routes.disable("/snis/{snis}/certificate");
}

async fn act(state: Arc<State>, call: Call) -> Outcome {
    let segment = call.segment(KIND).to_owned();
    let key = writer::view(&state, move |writer| writer.key(KIND, &segment));
    let id = match (key.await, &call.method) {
        (Ok(Key::Id(id)), _) => id,
        (Err(Failure::Message(..)), &Method::PUT) => Uuid::new_v4().to_string(),
        (Err(failure), _) => return Err(failure),
        (Ok(Key::Unique { .. }), _) => return Err(Failure::not_found()),
    };
    if call.method != Method::GET && call.method != Method::HEAD {
        return top::act(&state, &call, KIND, id).await;
    }
    let read = writer::view(&state, move |writer| {
        let key = Key::Id(id);
        let found = writer.transaction.get(KIND, &key)?;
        let certificate = found.ok_or_else(|| keys::missing(&key))?;
        with_names(writer, KIND, certificate)
    });
    Ok(respond::ok(&read.await?))
}

/// The certificate that has this name.
pub(super) fn key_by_name(writer: &mut Writer<'_, '_>, name: &str) -> Result<Key, Failure> {
    check_unique(writer.schemas, SNIS, "name", name)?;
    let sni = writer.transaction.get(SNIS, &Key::field("name", name))?;
    sni.and_then(|sni| refers_to(&sni, "certificate"))
        .map(Key::Id)
        .ok_or_else(|| Failure::message(StatusCode::NOT_FOUND, "SNI not found"))
}

/// The names that a client gave to a certificate: `None` leaves them as they are. `current` is the
/// certificate that may have them already.
pub(super) fn names(
    writer: &mut Writer<'_, '_>,
    kind: &str,
    current: Option<&Key>,
    input: &Object,
) -> Result<Option<Vec<String>>, Failure> {
    if kind != KIND {
        return Ok(None);
    }
    let given = match input.get(SNIS) {
        Some(Value::Array(given)) => given.as_slice(),
        Some(Value::Null) => &[],
        _ => return Ok(None),
    };
    let mut names = BTreeSet::new();
    for name in given.iter().filter_map(Value::as_str) {
        if !names.insert(name.to_owned()) {
            let message = format!("{name} is duplicated");
            return Err(ApiError::field_violation(SNIS, message).into());
        }
    }
    for name in &names {
        check_unique(writer.schemas, SNIS, "name", name)?;
        let sni = writer.transaction.get(SNIS, &Key::field("name", &**name))?;
        let Some(owner) = sni.and_then(|sni| refers_to(&sni, "certificate")) else {
            continue;
        };
        if !matches!(current, Some(Key::Id(id)) if *id == owner) {
            let message = format!("{name} already associated with existing certificate '{owner}'");
            return Err(ApiError::field_violation(SNIS, message).into());
        }
    }
    Ok(Some(names.into_iter().collect()))
}

/// Takes the shorthand out of what is stored.
pub(super) fn strip(kind: &str, entity: &mut Object) {
    if kind == KIND {
        entity.remove(SNIS);
    }
}

/// Gives a certificate these names and no others.
pub(super) fn write(
    writer: &mut Writer<'_, '_>,
    id: &str,
    names: Option<Vec<String>>,
) -> Result<(), Failure> {
    let Some(names) = names else {
        return Ok(());
    };
    let current = list(writer, id)?;
    for name in names.iter().filter(|name| !current.contains(name)) {
        let sni = json!({ "name": name, "certificate": { "id": id } });
        let Value::Object(sni) = sni else { continue };
        writer.insert(SNIS, sni)?;
    }
    for name in current.iter().filter(|name| !names.contains(name)) {
        writer.delete(SNIS, &Key::field("name", &**name))?;
    }
    Ok(())
}

/// The names of a certificate, sorted.
pub(super) fn list(writer: &mut Writer<'_, '_>, id: &str) -> Result<Vec<String>, Failure> {
    let snis = writer.transaction.children(SNIS, "certificate", KIND, id)?;
    let mut names: Vec<_> = snis
        .iter()
        .filter_map(|sni| sni.get("name")?.as_str().map(str::to_owned))
        .collect();
    names.sort_unstable();
    Ok(names)
}

/// An entity as it is shown: a certificate with its names.
pub(super) fn with_names(
    writer: &mut Writer<'_, '_>,
    kind: &str,
    mut entity: Object,
) -> Result<Object, Failure> {
    if kind == KIND {
        let names = list(writer, &id_of(&entity))?;
        entity.insert(SNIS.to_owned(), json!(names));
    }
    Ok(entity)
}

/// A certificate as it is shown to who came by another entity: without its names.
pub(super) fn leave_names_out(kind: &str, entity: &mut Object) {
    if kind == KIND {
        entity.insert(SNIS.to_owned(), Value::Null);
    }
}

/// The names go with their certificate.
pub(super) fn before_delete(writer: &mut Writer<'_, '_>, id: &str) -> Result<(), Failure> {
    write(writer, id, Some(Vec::new()))
}

/// Shows the names of certificates on a page.
pub(super) async fn show_names(state: &State, page: &mut [Object]) -> Result<(), Failure> {
    let ids: Vec<_> = page.iter().map(id_of).collect();
    let names = writer::view(state, move |writer| {
        let lists = ids.iter().map(|id| list(writer, id));
        lists.collect::<Result<Vec<_>, _>>()
    });
    for (certificate, names) in page.iter_mut().zip(names.await?) {
        certificate.insert(SNIS.to_owned(), json!(names));
    }
    Ok(())
}
