//! Descriptions of entities: one description yields validation, defaults and documentation.
//!
//! A [`Schema`] lists the [`Field`]s of a kind of entity and the [`Check`]s between them. From it
//! follow, by the same walk for every kind and plugin:
//!
//! - completion: defaults, ids, time stamps, shorthands, and the merge of a partial update
//!   (`complete`);
//! - validation, with the messages of Kong's Admin API (`validate`);
//! - the JSON of `GET /schemas/…` (`json`).

pub mod check;
pub(crate) mod complete;
pub mod definition;
pub mod field;
mod json;
pub(crate) mod lookup;
pub mod plugin;
pub mod typedefs;
pub(crate) mod validate;

pub use check::{Check, CheckRule};
pub use definition::{ForeignKey, Schema, Transformation, UniqueKey};
pub use field::{Field, ITEM, OnDelete, Record, Shorthand, Type};
pub use plugin::PluginSchema;
