//! Entity types, their schemas, defaults and validation, and the declarative format.
//!
//! An entity has two forms:
//!
//! - an [`Object`]: JSON as the Admin API and `kong.yml` carry it, checked and completed by the
//!   schema engine ([`schema`]); this is what the control plane stores and sends;
//! - a typed struct ([`kinds`]): what the data plane compiles. [`Config`] is a whole
//!   configuration in typed form, decoded from the flat tables of a snapshot.
//!
//! Each kind of entity has one file under [`kinds`] that holds both.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod config;
pub mod declarative;
mod error;
pub mod expression;
mod flavor;
mod format;
pub mod kinds;
mod list;
mod lua;
mod reference;
pub mod schema;
mod schemas;
mod secret;

pub use config::Config;
pub use error::ApiError;
pub use flavor::RouterFlavor;
pub use format::path::normalize as normal_path;
pub use list::{Change, List, Pick};
pub use reference::Reference;
pub use schema::{Field, PluginSchema, Schema};
pub use schemas::{ReferenceByKey, Schemas};
pub use secret::random as random_secret;

/// A JSON object: an entity as the Admin API and the declarative format carry it.
pub type Object = serde_json::Map<String, serde_json::Value>;

/// The level of Kong's interfaces that this build speaks: what `GET /` reports as `version`, and
/// what a data plane tells a control plane.
pub const KONG_API_VERSION: &str = "3.9.1";
