//! What a part of a path names: an id, or the value of a unique field.

use keelgate_entities::{ApiError, Object, Schema, Schemas};
use keelgate_store::Key;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::failure::Failure;

/// The key of the entity of a kind that a part of a path names.
pub(super) fn parse(schemas: &Schemas, schema: &Schema, segment: &str) -> Result<Key, Failure> {
    if let Some(id) = id(segment) {
        return Ok(Key::Id(id));
    }
    let Some(field) = schema.endpoint_key else {
        let reason = "expected a valid UUID";
        let error = ApiError {
            code: 1,
            name: "invalid primary key",
            message: format!("invalid primary key: '{{id=\"{reason}\"}}'"),
            fields: json!({ "id": reason }),
        };
        return Err(error.into());
    };
    check_unique(schemas, schema.name, field, segment)?;
    Ok(Key::field(field, segment))
}

/// The id that a text is, in the form that ids are stored in.
pub(crate) fn id(text: &str) -> Option<String> {
    let hyphenated = text.len() == 36;
    let id = Uuid::try_parse(text).ok().filter(|_| hyphenated)?;
    Some(id.hyphenated().to_string())
}

/// Checks that a text could be the value of a unique field.
pub(crate) fn check_unique(
    schemas: &Schemas,
    kind: &str,
    field: &str,
    text: &str,
) -> Result<(), Failure> {
    let value = Value::from(text);
    schemas.check_field(kind, field, &value).map_err(|message| {
        let body = json!({
            "code": 10,
            "name": format!("invalid unique {field}"),
            "message": message,
        });
        Failure::Body(http::StatusCode::BAD_REQUEST, body)
    })
}

/// The error for a key that nothing has.
pub(super) fn missing(key: &Key) -> ApiError {
    match key {
        Key::Id(id) => ApiError::not_found(Object::from_iter([("id".to_owned(), json!(id))])),
        Key::Unique { name, values } => {
            let value = values.first().cloned().unwrap_or(Value::Null);
            ApiError::not_found_by(Object::from_iter([(name.clone(), value)]))
        }
    }
}
