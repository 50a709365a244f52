//! The times that a publisher keeps.

use std::time::Duration;

/// How a publisher paces itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PublishSettings {
    /// After a publication, how long further changes are gathered
    /// (`cluster_fallback_config_export_delay`).
    pub delay: Duration,
    /// Between the beginnings of two writes of one object.
    pub gap: Duration,
    /// How often a settled storage is read again, to notice what was deleted or damaged.
    pub check: Duration,
    /// The same for a storage without fencing, where a paused writer can put something older back.
    pub check_unfenced: Duration,
    /// How long a node that does not lead leaves it to the leader to store what it has itself.
    pub relief: Duration,
    /// Bound of the first retry's delay; it doubles.
    pub retry_base: Duration,
    /// Bound of every retry's delay.
    pub retry_cap: Duration,
}

impl Default for PublishSettings {
    fn default() -> Self {
        Self {
            delay: Duration::from_secs(5),
            gap: Duration::from_secs(1),
            check: Duration::from_secs(60),
            check_unfenced: Duration::from_secs(10),
            relief: Duration::from_secs(60),
            retry_base: Duration::from_millis(200),
            retry_cap: Duration::from_secs(20),
        }
    }
}
