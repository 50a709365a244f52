//! What traffic and probes say about a target.

use keelgate_entities::kinds::{HealthChecks, Thresholds};

/// Whether a target may be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It may.
    Healthy,
    /// Checks (or an operator) took it out.
    Unhealthy,
    /// It has no address: its name does not resolve.
    Unavailable,
    /// It may; the upstream has no checks.
    Unchecked,
}

impl Health {
    /// The name in the Admin API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "HEALTHY",
            Self::Unhealthy => "UNHEALTHY",
            Self::Unavailable => "DNS_ERROR",
            Self::Unchecked => "HEALTHCHECKS_OFF",
        }
    }
}

/// How a request to a target, or a probe, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An HTTP answer with this status.
    Status(u16),
    /// The gateway had to answer with this status itself; never a success.
    Failed(u16),
    /// An answer that is not one of HTTP.
    Garbage,
    /// A connection succeeded (TCP probes), or the target says that it serves (gRPC probes).
    Connected,
    /// The target says that it does not serve (gRPC probes).
    NotServing,
    /// No connection, or one that broke.
    TcpFailure,
    /// No answer in time.
    Timeout,
}

/// Counts of one kind of check that change a target's health.
#[derive(Clone, Debug)]
pub(crate) struct Checks {
    /// Whether statuses say anything; otherwise any answer is a success.
    interprets: bool,
    healthy_statuses: Box<[u16]>,
    unhealthy_statuses: Box<[u16]>,
    successes: u32,
    http_failures: u32,
    tcp_failures: u32,
    timeouts: u32,
}

/// One of a target's counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    Success,
    HttpFailure,
    TcpFailure,
    Timeout,
}

impl Checks {
    pub(crate) fn new(healthy: &Thresholds, unhealthy: &Thresholds, interprets: bool) -> Self {
        Self {
            interprets,
            healthy_statuses: healthy.http_statuses.as_slice().into(),
            unhealthy_statuses: unhealthy.http_statuses.as_slice().into(),
            successes: healthy.successes,
            http_failures: unhealthy.http_failures,
            tcp_failures: unhealthy.tcp_failures,
            timeouts: unhealthy.timeouts,
        }
    }

    /// What an outcome counts as, and how many make a difference. `None` if it does not count.
    pub(crate) fn count(&self, outcome: Outcome) -> Option<(Count, u32)> {
        let (count, limit) = match outcome {
            Outcome::Status(_) if !self.interprets => (Count::Success, self.successes),
            Outcome::Status(status) if self.healthy_statuses.contains(&status) => {
                (Count::Success, self.successes)
            }
            Outcome::Status(status) if self.unhealthy_statuses.contains(&status) => {
                (Count::HttpFailure, self.http_failures)
            }
            Outcome::Failed(status)
                if self.interprets && self.unhealthy_statuses.contains(&status) =>
            {
                (Count::HttpFailure, self.http_failures)
            }
            Outcome::Status(_) | Outcome::Failed(_) => return None,
            Outcome::Garbage | Outcome::NotServing => (Count::HttpFailure, self.http_failures),
            Outcome::Connected => (Count::Success, self.successes),
            Outcome::TcpFailure => (Count::TcpFailure, self.tcp_failures),
            Outcome::Timeout => (Count::Timeout, self.timeouts),
        };
        (limit > 0).then_some((count, limit))
    }
}

/// Whether any check of an upstream is switched on.
pub(crate) fn is_checked(checks: &HealthChecks) -> bool {
    let passive = &checks.passive.unhealthy;
    checks.active.healthy.interval > 0.0
        || checks.active.unhealthy.interval > 0.0
        || passive.tcp_failures > 0
        || passive.timeouts > 0
        || passive.http_failures > 0
}
