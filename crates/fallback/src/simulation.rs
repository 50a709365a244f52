//! The protocol under every order of events, and under very many with clocks.
//!
//! Two proofs that complement each other, both of the very machines that run in production:
//!
//! - `model`: every reachable state of a few publishers and storages, without clocks, by
//!   exhaustive search.
//! - `world`: whole fleets with clocks, storages with faults of every kind and readers, in seeded
//!   schedules that replay.

mod model;
mod world;

use std::io::Write as _;

use keelgate_snapshot::{Digest, Identity};
use uuid::Uuid;

/// The snapshot with this revision.
fn snapshot(revision: u64) -> Identity {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&revision.to_be_bytes());
    Identity {
        cluster_id: Uuid::from_u128(1),
        epoch: 1,
        revision,
        sha256: Digest(digest),
    }
}

/// Shows a line even where the test passes: what was covered is part of the result.
fn show(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// A bound that the long suite raises through the environment.
fn bound(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{variable} is a whole number, not {text:?}")),
        Err(_) => default,
    }
}
