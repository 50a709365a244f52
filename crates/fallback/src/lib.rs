//! Backup storage: the layout of its objects, the elected publisher that writes them, and the
//! fetcher that a newborn data plane reads them with.
//!
//! | module | what it knows |
//! |---|---|
//! | `storage` | one trait of conditional reads and writes; S3, Google Cloud, Azure, directory, HTTPS |
//! | `layout` | the keys of one version of the software |
//! | `index` | which versions have written |
//! | `probe` | whether a storage compares in writes |
//! | `publish` | when and what to write, forward only; a pure machine and its driver |
//! | `election` | who writes; a pure machine and its driver |
//! | `catalogue` | what lies in a storage, for operators |
//! | `fetch` | what to read, and why something is refused |
//! | `durable` | files that survive a crash |
//!
//! The protocol is written down in `docs/rfcs/0001-fallback-storage.md`.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod backoff;
mod catalogue;
mod durable;
mod election;
mod fetch;
mod index;
mod layout;
mod probe;
mod publish;
#[cfg(test)]
mod simulation;
mod storage;
mod time;

pub use backoff::Backoff;
pub use catalogue::{Catalogue, Entry, Examined, Registered, VersionEntry, catalogue};
pub use durable::write_durably;
pub use election::{Lease, Registration};
pub use fetch::{Candidate, Fetched, Fetcher, Refusal, RefusalReason, Verify};
pub use index::{Index, IndexEntry};
pub use keelgate_location::{Location, LocationError};
pub use layout::{HistoryName, INDEX, Layout};
pub use probe::{Fencing, probe};
pub use publish::{
    Blocked, DEFAULT_LEASE, Prepare, PruneError, PublishError, PublishSettings, Published,
    Publisher, PublisherSettings, PublisherState, PublisherStatus, Seal, Success, Trouble, forget,
    prune, publish_once,
};
pub use storage::{
    Answer, Environment, ErrorKind, LIST_LIMIT, Listed, Object, Operation, S3PutOptions,
    S3PutOptionsError, SecretHeader, Storage, StorageError, StorageSettings, TimeOuts, Version,
    open,
};
pub use time::unix_seconds;
