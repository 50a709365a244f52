//! What a publisher tells of itself.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use keelgate_snapshot::Identity;
use serde::Serialize;
use uuid::Uuid;

use crate::{Fencing, unix_seconds};

/// What a publisher does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PublisherState {
    /// There is no snapshot to publish yet.
    Empty,
    /// Another node publishes.
    Following,
    /// A publication is under way or waits for its delay.
    Publishing,
    /// The last attempt failed; another follows.
    Retrying,
    /// The storage holds the newest snapshot, read back and verified.
    Stored,
    /// Writing would be wrong; `last_error` says why.
    Blocked,
    /// The storage cannot be written; it is for readers alone.
    ReadOnly,
}

/// A publication that counted.
#[derive(Clone, Debug, Serialize)]
pub struct Success {
    /// What was read back.
    pub identity: Identity,
    /// When; seconds since 1970.
    #[serde(serialize_with = "unix_seconds")]
    pub at: SystemTime,
    /// Size of the document.
    pub bytes: u64,
}

/// Something that went wrong.
#[derive(Clone, Debug, Serialize)]
pub struct Trouble {
    /// A short word that metrics count by.
    pub kind: &'static str,
    /// What is wrong, where, and how to mend it.
    pub message: String,
    /// When; seconds since 1970.
    #[serde(serialize_with = "unix_seconds")]
    pub at: SystemTime,
}

/// The state of publishing into one storage.
#[derive(Clone, Debug, Serialize)]
pub struct PublisherStatus {
    /// The location.
    pub storage: String,
    /// What is being done.
    pub state: PublisherState,
    /// Whether this node is the one that writes.
    pub leading: bool,
    /// Since when; seconds since 1970.
    #[serde(serialize_with = "unix_seconds_or_null")]
    pub leading_since: Option<SystemTime>,
    /// What protects the storage from older snapshots; nothing before that was found out.
    pub fencing: Option<Fencing>,
    /// The node that holds the lease, as far as this one knows.
    pub leader: Option<Uuid>,
    /// What the storage held when it was last read by this node.
    pub stored: Option<Identity>,
    /// What this node wants the storage to hold.
    pub wanted: Option<Identity>,
    /// Size of what the storage held when it was last read by this node.
    pub bytes: Option<u64>,
    /// When this node last began to write; seconds since 1970.
    #[serde(serialize_with = "unix_seconds_or_null")]
    pub last_attempt: Option<SystemTime>,
    /// How long the last publication took, from its first request to the verified read, in
    /// milliseconds.
    pub latency_ms: Option<u64>,
    /// The last publication that was read back and verified.
    pub last_success: Option<Success>,
    /// The last trouble; it stays after a success, with its time.
    pub last_error: Option<Trouble>,
    /// Troubles since the start, by kind.
    pub failures: BTreeMap<&'static str, u64>,
}

impl PublisherStatus {
    pub(super) fn new(storage: &str) -> Self {
        Self {
            storage: storage.to_owned(),
            state: PublisherState::Empty,
            leading: false,
            leading_since: None,
            fencing: None,
            leader: None,
            stored: None,
            wanted: None,
            bytes: None,
            last_attempt: None,
            latency_ms: None,
            last_success: None,
            last_error: None,
            failures: BTreeMap::new(),
        }
    }

    pub(super) fn read_only(storage: &str) -> Self {
        Self {
            state: PublisherState::ReadOnly,
            ..Self::new(storage)
        }
    }

    /// How long ago the storage was last known to be good.
    pub fn age(&self, now: SystemTime) -> Option<Duration> {
        let success = self.last_success.as_ref()?;
        Some(now.duration_since(success.at).unwrap_or_default())
    }
}

fn unix_seconds_or_null<S: serde::Serializer>(
    time: &Option<SystemTime>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => unix_seconds(time, serializer),
        None => serializer.serialize_none(),
    }
}
