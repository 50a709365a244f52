//! CA certificates are referred to by lists of ids, which no foreign key shows.

use keelgate_entities::{ApiError, Object};
use serde_json::Value;

use super::writer::{Writer, id_of};
use crate::failure::Failure;

/// Kinds with a list of CA certificates, and where it is.
const REFERRING: [(&str, &str); 2] = [
    ("services", "/ca_certificates"),
    ("plugins", "/config/ca_certificates"),
];

/// Refuses to remove a CA certificate that is still named somewhere.
pub(super) fn before_delete(writer: &mut Writer<'_, '_>, id: &str) -> Result<(), Failure> {
    for (kind, path) in REFERRING {
        let entities = writer.transaction.all(kind)?;
        if let Some(by) = entities.iter().find(|entity| names(entity, path, id)) {
            let message = format!(
                "ca certificate {id} is still referenced by {kind} (id = {})",
                id_of(by)
            );
            return Err(ApiError::referenced_by_others(message).into());
        }
    }
    Ok(())
}

fn names(entity: &Object, path: &str, id: &str) -> bool {
    let mut steps = path.split('/').skip(1);
    let first = steps.next().and_then(|name| entity.get(name));
    let list = steps.fold(first, |value, name| value?.get(name));
    let ids = list.and_then(Value::as_array).into_iter().flatten();
    ids.filter_map(Value::as_str).any(|named| named == id)
}
