//! What the machine is told and what it decides.

use std::collections::HashSet;
use std::time::Duration;

use keelgate_snapshot::Identity;

use crate::{Notice, Offer};

/// How a data plane chooses.
#[derive(Clone, Copy, Debug)]
pub struct ChoiceSettings {
    /// How many control-plane addresses are dialled.
    pub control_planes: usize,
    /// How many storages may be read (`cluster_fallback_config_import`; none when it is off).
    pub storages: usize,
    /// From the start until the best candidate serves, at most (`cluster_connect_deadline`).
    pub deadline: Duration,
    /// Between two readings of a storage while the control plane is away
    /// (`cluster_fallback_config_refresh`).
    pub refresh: Duration,
    /// Bound of the first retry's delay after a storage failed; it doubles.
    pub retry_base: Duration,
    /// Bound of every retry's delay.
    pub retry_cap: Duration,
}

impl Default for ChoiceSettings {
    fn default() -> Self {
        Self {
            control_planes: 1,
            storages: 0,
            deadline: Duration::from_secs(3),
            refresh: Duration::from_secs(60),
            retry_base: Duration::from_millis(250),
            retry_cap: Duration::from_secs(10),
        }
    }
}

/// What has happened.
#[derive(Clone, Debug)]
pub enum Event<S> {
    /// The process is up; what was quarantined by former lives.
    Started(HashSet<Identity>),
    /// The disk cache was read: its good documents, newest first.
    CacheLoaded(Vec<Offer<S>>),
    /// A storage was read; nothing when it holds nothing good.
    StorageFetched(usize, Option<Offer<S>>),
    /// A storage could not be read.
    StorageFailed(usize),
    /// An attempt to reach this control-plane address ended in failure.
    DialFailed(String),
    /// A connection stands; nothing has come over it.
    Connected,
    /// The connection stands, and nothing comes over it.
    Stalled,
    /// The connection to this address ended.
    Disconnected(String),
    /// The control plane sent a good snapshot.
    SnapshotArrived(Offer<S>),
    /// The control plane sent something that is no good snapshot.
    DocumentRefused,
    /// What was to be activated serves.
    Activated,
    /// What was to be activated cannot be used.
    Rejected,
    /// Time has passed.
    Tick,
}

/// What the driver is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision<S> {
    /// Read the disk cache.
    LoadCache,
    /// Read this storage, passing over the quarantined.
    Fetch(usize, HashSet<Identity>),
    /// Activate, and report [`Event::Activated`] or [`Event::Rejected`].
    Activate(Offer<S>),
    /// The configuration that is served has a new identity; nothing is to be swapped.
    Adopt(Offer<S>),
    /// What is served was stated anew: the same snapshot with a later time. Nothing is to be
    /// swapped.
    Restate(Offer<S>),
    /// Tell the operator.
    Tell(Notice),
}
