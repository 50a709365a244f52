//! Snapshots: the whole configuration of a cluster at one moment, as immutable bytes with an
//! identity.
//!
//! A snapshot is one JSON document, the same bytes on the wire, in the cache of a data plane and in
//! the fallback storage ([`document`] describes it). [`build()`] makes one from a configuration,
//! [`Signer`] signs it with the cluster key, [`Verifier`] turns received bytes back into a
//! [`Snapshot`] or says which check failed. [`SealingKeys`] encrypt documents for storages and disks.
//!
//! The crate does no I/O and reads no clock.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod authority;
mod builder;
mod config_hash;
mod decoded;
mod delta;
pub mod document;
mod error;
mod form;
mod fragments;
pub mod gzip;
pub mod identity;
mod key;
mod migration;
mod publication;
mod sealing;
mod signature;
mod signer;
mod snapshot;
mod statement;
mod verifier;

pub use authority::Signatories;
pub use builder::{build, build_after, envelop, publish, restate, vouch};
pub use config_hash::EMPTY_CONFIG_HASH;
pub use decoded::Decoded;
pub use delta::{DeltaError, MAX_DELTA_BYTES, delta, is_delta};
pub use document::{MAX_DOCUMENT_BYTES, SCHEMA};
pub use error::{
    BuildError, DecodeError, KeyError, SealError, SealingKeyError, StatementError, VerifyError,
};
pub use fragments::{Changes, Chunk, Fragments, Unfit};
pub use identity::{Digest, ForeignCluster, Identity, Position};
pub use publication::Publication;
pub use sealing::{SealedHeader, SealingKeys, is_sealed, sealed_header};
pub use signature::Signature;
pub use signer::Signer;
pub use snapshot::Snapshot;
pub use verifier::{Verifier, accept_unsigned};
