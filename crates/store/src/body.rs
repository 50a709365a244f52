//! Entities as text, which is how stores keep them.

use keelgate_entities::Object;

use crate::StoreError;

/// Reads an entity. `left` is how many milliseconds of a `ttl` are left, where there is one.
pub(crate) fn parse(
    kind: &str,
    id: &str,
    body: &str,
    left: Option<i64>,
) -> Result<Object, StoreError> {
    let mut entity: Object =
        serde_json::from_str(body).map_err(|source| unreadable(kind, id, source))?;
    if let Some(left) = left {
        entity.insert("ttl".to_owned(), ((left - 1).max(0) / 1000).into());
    }
    Ok(entity)
}

/// The text of an entity.
pub(crate) fn text(kind: &str, id: &str, entity: &Object) -> Result<String, StoreError> {
    serde_json::to_string(entity).map_err(|source| unreadable(kind, id, source))
}

fn unreadable(kind: &str, id: &str, source: serde_json::Error) -> StoreError {
    StoreError::Unreadable {
        kind: kind.to_owned(),
        id: id.to_owned(),
        source,
    }
}
