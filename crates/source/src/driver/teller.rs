//! Tells the rest of the node, the control plane and operators what is served and what went wrong.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use keelgate_snapshot::{Identity, Snapshot, VerifyError};
use keelgate_sync::{Applied, Rejection};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::age::{AgeChange, AgeWatch};
use crate::machine::Machine;
use crate::report::{Report, Serving, State};
use crate::{AgeBound, Notice, Offer, Source};

/// Where the driver tells what it did.
pub(crate) struct Outlets {
    pub(crate) report: watch::Sender<Report>,
    pub(crate) served: watch::Sender<Option<Snapshot>>,
    pub(crate) applied: Option<watch::Sender<Applied>>,
}

pub(super) struct Teller {
    start: Instant,
    cache_directory: PathBuf,
    locations: Vec<String>,
    age: AgeWatch,
    /// What is told after every event, as a whole.
    view: Report,
    outlets: Outlets,
}

impl Teller {
    pub(super) fn new(
        start: Instant,
        cache_directory: PathBuf,
        locations: Vec<String>,
        age: AgeBound,
        outlets: Outlets,
    ) -> Self {
        Self {
            start,
            cache_directory,
            locations,
            age: AgeWatch::new(age),
            view: Report::new(),
            outlets,
        }
    }

    /// What is served, as it changes.
    pub(super) fn served(&self) -> watch::Receiver<Option<Snapshot>> {
        self.outlets.served.subscribe()
    }

    /// The control plane that is connected from now on.
    pub(super) fn connected(&mut self, address: Option<String>) {
        self.view.control_plane = address;
    }

    /// Tells the world what is served now.
    pub(super) fn serve(&mut self, offer: &Offer<Snapshot>) {
        let (source, origin) = (name(offer.source), self.origin(offer.source));
        tracing::info!(identity = %offer.identity, source, origin, "configuration serves");
        let elapsed = self.start.elapsed();
        let snapshot = &offer.snapshot;
        self.outlets.served.send_replace(Some(snapshot.clone()));
        self.view.serving = Some(Serving::new(source, origin, snapshot));
        self.view
            .first_served_after_ms
            .get_or_insert(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX));
        if let Some(applied) = &self.outlets.applied {
            applied.send_modify(|applied| {
                snapshot.config_hash().clone_into(&mut applied.config_hash);
                applied.identity = Some(offer.identity);
                applied.source = Some(source.to_owned());
                applied.rejection = None;
            });
        }
    }

    /// Passes the fresher document of what is served on to the cache and the publisher.
    pub(super) fn restate(&mut self, snapshot: &Snapshot) {
        let serving = self.view.serving.as_ref();
        if serving.is_some_and(|serving| serving.created_at >= snapshot.created_at()) {
            return;
        }
        tracing::debug!(identity = %snapshot.identity(), "configuration stated anew");
        self.outlets.served.send_replace(Some(snapshot.clone()));
        if let Some(serving) = &mut self.view.serving {
            serving.created_at = snapshot.created_at();
        }
    }

    /// Tells the control plane that something of it cannot be used.
    pub(super) fn reject(
        &self,
        identity: Option<Identity>,
        config_hash: Option<String>,
        reason: String,
    ) {
        if let Some(applied) = &self.outlets.applied {
            applied.send_modify(|applied| {
                applied.rejection = Some(Rejection {
                    identity,
                    config_hash,
                    reason,
                });
            });
        }
    }

    /// Asks the control plane for the whole configuration.
    pub(super) fn want_whole(&self) {
        if let Some(applied) = &self.outlets.applied {
            applied.send_modify(|applied| applied.wanted += 1);
        }
    }

    /// Brings the view up to what the machine has decided and to the time.
    pub(super) fn observe(&mut self, machine: &Machine<Snapshot>) {
        let served = machine.served();
        let state = match served {
            Some(_) if machine.is_current() => State::Current,
            Some(_) => State::Fallback,
            None if self.view.state == State::Empty => State::Empty,
            None => State::Starting,
        };
        let confirmed = served.map(|(source, _)| (name(source), self.origin(source)));
        let quarantine = machine.quarantine();
        self.view.enter(state);
        if let (Some(serving), Some((source, origin))) = (&mut self.view.serving, confirmed)
            && serving.source != source
        {
            serving.source = source;
            serving.origin = origin;
        }
        if self.view.quarantined.len() != quarantine.len() {
            self.view.quarantined = quarantine.iter().copied().collect();
        }
        if machine.is_current() {
            self.confirm();
        }
        self.look_at_age(machine.is_current());
    }

    /// Says of what a connected control plane of Kong has sent, which restates nothing, that it still
    /// stands behind it.
    fn confirm(&mut self) {
        let now = SystemTime::now();
        let Some((after, serving)) = self.age.restate_after().zip(self.view.serving.as_ref())
        else {
            return;
        };
        if serving.age(now) < after {
            return;
        }
        let served = self.outlets.served.borrow().clone();
        if let Some(confirmed) = served.and_then(|served| served.confirmed(now)) {
            self.restate(&confirmed);
        }
    }

    /// Raises the alarm, once, when what is served has become too old, and ends it.
    fn look_at_age(&mut self, is_current: bool) {
        let serving = self.view.serving.as_ref();
        let stated_at = serving.map(|serving| serving.created_at);
        match self.age.look(SystemTime::now(), stated_at, is_current) {
            Some(AgeChange::Stale { stated_at, max_age }) => {
                let Some(serving) = serving else {
                    return;
                };
                let origin = serving.origin.clone();
                let aged = VerifyError::Stale {
                    identity: serving.identity,
                    stated_at,
                    max_age,
                };
                let message = format!("what is served is too old: {aged}");
                tracing::error!(origin, kind = aged.kind(), "{message}");
                self.view.trouble(&origin, aged.kind(), message);
            }
            Some(AgeChange::Fresh) => tracing::info!("what is served is not too old any more"),
            None => {}
        }
        self.view.stale = self.age.is_stale();
    }

    /// How long until the age is to be looked at again.
    pub(super) fn next_look(&self) -> Option<Duration> {
        let stated_at = (self.view.serving.as_ref()).map(|serving| serving.created_at);
        let is_current = self.view.state == State::Current;
        self.age.next_look(SystemTime::now(), stated_at, is_current)
    }

    /// Shows the view to everyone.
    pub(super) fn publish(&self) {
        self.outlets.report.send_replace(self.view.clone());
    }

    pub(super) fn tell(&mut self, notice: Notice) {
        let origin = self.origin(notice.source());
        let message = notice.message(&origin);
        match notice {
            Notice::Confirmed(_) => {
                tracing::info!("{message}");
                if let Some(applied) = &self.outlets.applied {
                    applied.send_modify(|applied| {
                        applied.source = Some(name(Source::ControlPlane).to_owned());
                    });
                }
                return;
            }
            Notice::Empty => self.view.enter(State::Empty),
            _ => {}
        }
        self.trouble(&origin, notice.kind(), message);
    }

    pub(super) fn trouble(&mut self, origin: &str, kind: &'static str, message: String) {
        tracing::warn!(origin, kind, "{message}");
        self.view.trouble(origin, kind, message);
    }

    /// Where a source is, for people.
    pub(super) fn origin(&self, source: Source) -> String {
        match source {
            Source::ControlPlane => self.view.control_plane.clone().unwrap_or_default(),
            Source::Cache => self.cache_directory.display().to_string(),
            Source::Storage(index) => self.locations.get(index).cloned().unwrap_or_default(),
        }
    }
}

/// The word for a source in reports.
fn name(source: Source) -> &'static str {
    match source {
        Source::ControlPlane => "control_plane",
        Source::Cache => "cache",
        Source::Storage(_) => "storage",
    }
}
