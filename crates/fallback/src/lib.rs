//! Backup storage: the layout of its objects, the elected publisher that writes them, and the
//! fetcher that a newborn data plane reads them with.
//!
//! | module | what it knows |
//! |---|---|
//! | `location` | `s3://…`, `file:///…`, and lists of them |
//! | `storage` | one trait of conditional reads and writes; S3 and directory |
//! | `layout` | the keys of one version of the software |
//! | `publish` | when and what to write, forward only; a pure machine and its driver |
//! | `election` | who writes; a pure machine and its driver |
//! | `fetch` | what to read, and why something is refused |
//!
//! The protocol is written down in `docs/rfcs/0001-fallback-storage.md`.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod backoff;
mod election;
mod fetch;
mod layout;
mod location;
mod publish;
mod storage;
mod time;

pub use backoff::Backoff;
pub use election::{Lease, Registration};
pub use fetch::{Candidate, Fetched, Fetcher, Refusal, RefusalReason, Verify};
pub use layout::{HistoryName, Layout};
pub use location::{Location, LocationError};
pub use publish::{
    Blocked, DEFAULT_LEASE, Prepare, PublishSettings, Publisher, PublisherSettings, PublisherState,
    PublisherStatus, Success, Trouble,
};
pub use storage::{
    Answer, Environment, ErrorKind, LIST_LIMIT, Listed, Object, Operation, S3PutOptions,
    S3PutOptionsError, SecretHeader, Storage, StorageError, StorageSettings, TimeOuts, Version,
    open,
};
pub use time::unix_seconds;
