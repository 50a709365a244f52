//! Why a declarative configuration is refused.

use serde::Serialize;
use serde_json::Value;

use super::flatten;
use crate::{ApiError, Object, Schemas};

/// Why a declarative configuration is refused: the body of the answer to `POST /config`.
#[derive(Clone, Debug, PartialEq, Serialize, thiserror::Error)]
#[error("{error}")]
pub struct DeclarativeError {
    /// The error, `fields` nested as the configuration is.
    #[serde(flatten)]
    pub error: ApiError,
    /// The same as a list of entities with their errors, after [`DeclarativeError::flattened`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flattened_errors: Option<Value>,
    #[serde(skip)]
    origin: Option<Box<Source>>,
}

/// What the error was found in. It may hold secrets, so it does not show in `Debug`.
#[derive(Clone, PartialEq)]
struct Source {
    document: Object,
    foreign_fields: Vec<flatten::ForeignField>,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").finish_non_exhaustive()
    }
}

impl DeclarativeError {
    /// The error as `?flatten_errors=1` asks for it: what can be told of single entities moves
    /// from `fields` into `flattened_errors`.
    #[must_use]
    pub fn flattened(mut self) -> Self {
        let Some(mut source) = self.origin.take() else {
            return self;
        };
        let Value::Object(mut fields) = self.error.fields.take() else {
            return self;
        };
        let list = flatten::flatten(&mut source.document, &mut fields, &source.foreign_fields);
        Self {
            error: ApiError::declarative(fields),
            flattened_errors: Some(if list.is_empty() {
                // What clients of Kong get for an empty list.
                Value::Object(Object::new())
            } else {
                Value::Array(list)
            }),
            origin: None,
        }
    }
}

impl From<ApiError> for DeclarativeError {
    fn from(error: ApiError) -> Self {
        Self {
            error,
            flattened_errors: None,
            origin: None,
        }
    }
}

/// A document that is refused.
pub(super) struct Refused {
    errors: Object,
    document: Object,
}

impl Refused {
    pub(super) fn new(errors: Object, document: Object) -> Self {
        Self { errors, document }
    }

    /// Writes the id that was derived for the entity at a place into the document.
    pub(super) fn put_id(&mut self, place: &[(&str, usize)], entity: &Object) {
        let mut object = Some(&mut self.document);
        for (kind, index) in place {
            object = object
                .and_then(|object| object.get_mut(*kind))
                .and_then(|list| list.get_mut(*index))
                .and_then(Value::as_object_mut);
        }
        if let (Some(object), Some(id)) = (object, entity.get("id")) {
            object.insert("id".to_owned(), id.clone());
        }
    }

    pub(super) fn into_error(self, schemas: &Schemas) -> DeclarativeError {
        DeclarativeError {
            error: ApiError::declarative(self.errors),
            flattened_errors: None,
            origin: Some(Box::new(Source {
                document: self.document,
                foreign_fields: flatten::foreign_fields(schemas),
            })),
        }
    }
}
