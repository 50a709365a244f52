//! Entities at rest on the control plane.
//!
//! - [`store`]: the [`Store`] trait, what every implementation offers;
//! - [`transaction`]: the view of a transaction that a piece of work gets, with the schemas'
//!   uniqueness and foreign keys enforced on every write;
//! - [`rows`]: what a backend has to bring for that (rows in, rows out, no rules);
//! - [`audit`]: who changed what, told with the change itself;
//! - [`index`]: the unique keys, references and tags that rows are found by;
//! - [`sqlite`]: the embedded database of a control plane;
//! - [`postgres`]: the database server that several control planes share;
//! - [`counter`]: counters that gateways share;
//! - [`memory`]: the read-only store of a node without a database.
//!
//! Every committed write makes one new revision; [`Store::subscribe`] tells of it.
//!
//! # Short-lived records
//!
//! Gateways make records while they serve: tokens, authorization codes, sessions, counts of
//! requests. They stand in the same database, since nodes share it, and they are no part of the
//! configuration:
//!
//! - Entities of the kinds that their schema marks as records ([`Schema::record`]) are written, found,
//!   paged and referred to as all others are, so that they go with what they refer to. Writes of
//!   them alone make no revision and wake nobody; they are in no export, no change, no audit log and no copy in
//!   memory. They are read from the server that writes, never from one that may lag behind it.
//! - Counters ([`Store::count`]) have no entity at all: an amount is added to a key in one step.
//!
//! Both expire by themselves. A store without a database has none of its own.
//!
//! [`Schema::record`]: keelgate_entities::Schema::record

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod audit;
mod body;
mod contents;
pub mod counter;
pub mod error;
pub mod index;
mod journal;
pub mod memory;
mod offset;
pub mod postgres;
pub mod rows;
pub mod sqlite;
pub mod store;
pub mod transaction;
mod unix_time;

pub use audit::{AuditPage, Told};
pub use counter::{Amount, Counted};
pub use error::StoreError;
pub use journal::{Changed, Changes};
pub use memory::MemoryStore;
pub use postgres::{MigrationState, Migrations, PostgresSettings, PostgresStore, PostgresTls};
pub use sqlite::SqliteStore;
pub use store::{
    Answer, Import, Key, Page, PageRequest, Parent, Position, Store, StoreExt, TagFilter, TagPage,
    TaggedEntity, Work,
};
pub use transaction::Transaction;
