//! What a data plane tells of its configuration: the same for status API, metrics and logs.

use std::time::{Duration, SystemTime};

use keelgate_fallback::{Trouble, unix_seconds};
use keelgate_snapshot::{Identity, Snapshot};
use serde::Serialize;

/// How many attempts are remembered.
const REMEMBERED: usize = 32;

/// The state of the choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The control plane is being asked; nothing serves yet.
    Starting,
    /// There is no good snapshot anywhere; the search goes on.
    Empty,
    /// The control plane is there and stands behind what is served.
    Current,
    /// Something is served without the control plane.
    Fallback,
}

/// What is served.
#[derive(Clone, Debug, Serialize)]
pub struct Serving {
    /// `control_plane`, `cache` or `storage`.
    pub source: &'static str,
    /// Address, directory or location of the source.
    pub origin: String,
    /// What it is.
    pub identity: Identity,
    /// Kong's hash of the configuration.
    pub config_hash: String,
    /// When the snapshot was made or last restated, by the clock of its maker; seconds since 1970.
    #[serde(serialize_with = "unix_seconds")]
    pub created_at: SystemTime,
    /// Since when it is served; seconds since 1970.
    #[serde(serialize_with = "unix_seconds")]
    pub since: SystemTime,
}

impl Serving {
    pub(crate) fn new(source: &'static str, origin: String, snapshot: &Snapshot) -> Self {
        Self {
            source,
            origin,
            identity: *snapshot.identity(),
            config_hash: snapshot.config_hash().to_owned(),
            created_at: snapshot.created_at(),
            since: SystemTime::now(),
        }
    }

    /// How long ago the snapshot was made or last restated.
    pub fn age(&self, now: SystemTime) -> Duration {
        now.duration_since(self.created_at).unwrap_or_default()
    }
}

/// One source that was asked and did not help, or that made trouble.
#[derive(Clone, Debug, Serialize)]
pub struct Tried {
    /// Address, file or location.
    pub origin: String,
    /// What went wrong.
    #[serde(flatten)]
    pub trouble: Trouble,
    /// How often this happened in a row.
    pub times: u64,
}

/// Everything about the choice of configuration.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The state.
    pub state: State,
    /// Since when; seconds since 1970.
    #[serde(serialize_with = "unix_seconds")]
    pub state_since: SystemTime,
    /// What is served, if anything is.
    pub serving: Option<Serving>,
    /// Whether the control plane may have something newer that this node cannot know of.
    pub potentially_stale: bool,
    /// Whether no control plane stands behind what is served and it is older than
    /// `cluster_fallback_config_max_age`.
    pub stale: bool,
    /// The control plane that is connected.
    pub control_plane: Option<String>,
    /// From the start until something served, in milliseconds.
    pub first_served_after_ms: Option<u64>,
    /// The last thing that went wrong.
    pub last_error: Option<Trouble>,
    /// What was tried and why it failed, oldest first; the last few.
    pub tried: Vec<Tried>,
    /// What cannot be used on this node.
    pub quarantined: Vec<Identity>,
}

impl Report {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Starting,
            state_since: SystemTime::now(),
            serving: None,
            potentially_stale: true,
            stale: false,
            control_plane: None,
            first_served_after_ms: None,
            last_error: None,
            tried: Vec::new(),
            quarantined: Vec::new(),
        }
    }

    pub(crate) fn enter(&mut self, state: State) {
        self.potentially_stale = state != State::Current;
        if self.state != state {
            self.state = state;
            self.state_since = SystemTime::now();
        }
    }

    /// Remembers that something went wrong; repetitions are counted, not listed.
    pub(crate) fn trouble(&mut self, origin: &str, kind: &'static str, message: String) {
        let trouble = Trouble {
            kind,
            message,
            at: SystemTime::now(),
        };
        self.last_error = Some(trouble.clone());
        let same = |tried: &Tried| {
            tried.origin == origin
                && tried.trouble.kind == kind
                && tried.trouble.message == trouble.message
        };
        let times = match self.tried.iter().position(same) {
            Some(index) => self.tried.remove(index).times + 1,
            None => 1,
        };
        if self.tried.len() == REMEMBERED {
            self.tried.remove(0);
        }
        self.tried.push(Tried {
            origin: origin.to_owned(),
            trouble,
            times,
        });
    }
}
