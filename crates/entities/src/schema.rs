//! Descriptions of entities: one description yields validation, defaults and documentation.
//!
//! A [`Schema`] lists the [`Field`]s of a kind of entity and the [`Check`]s between them. From it
//! follow, by the same walk for every kind and plugin:
//!
//! - completion: defaults, ids, time stamps, shorthands, and the merge of a partial update
//!   (`complete`);
//! - validation, with the messages of Kong's Admin API (`validate`);
//! - the JSON of `GET /schemas/…` (`json`), and JSON Schema for OpenAPI (`json_schema`).

pub(crate) mod check;
pub(crate) mod complete;
pub(crate) mod definition;
pub(crate) mod field;
mod json;
mod json_schema;
pub(crate) mod lookup;
mod plugin;
mod secrets;
pub mod typedefs;
pub(crate) mod validate;

pub use check::{Check, CheckRule, CustomRule};
pub(crate) use definition::Transformation;
pub use definition::{ForeignKey, Schema, UniqueKey};
pub use field::{Field, ITEM, OnDelete, Record, Shorthand, TextCheck, Type, ValueCheck};
pub use plugin::PluginSchema;
pub use secrets::{each_reference, is_reference};
