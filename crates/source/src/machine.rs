//! The choice of configuration, without I/O and without a clock.
//!
//! The control plane is asked first, and its answer is the authority. Cache and storages are read
//! at the same time, and the best of them serves as soon as the control plane is known to be away
//! (every address failed, or it sent something useless) or the deadline has passed. After that,
//! whatever is newer replaces what is served, and nothing that is older ever does.

mod choice;
mod event;

use std::collections::{BTreeSet, HashSet};
use std::time::{Duration, SystemTime};

use keelgate_fallback::Backoff;
use keelgate_snapshot::Identity;

use crate::{Notice, Offer, Source};

pub use event::{ChoiceSettings, Decision, Event};

#[derive(Debug)]
struct StorageState {
    reading: bool,
    /// When it is to be read next; nothing while it is not followed.
    next_at: Option<Duration>,
    backoff: Backoff,
}

/// What of an offer is remembered once it serves.
#[derive(Clone, Copy, Debug)]
struct Served {
    source: Source,
    identity: Identity,
    stated_at: SystemTime,
}

impl Served {
    fn of<S>(offer: &Offer<S>) -> Self {
        Self {
            source: offer.source,
            identity: offer.identity,
            stated_at: offer.stated_at,
        }
    }
}

/// The choice. `S` is what the driver needs to activate a snapshot.
#[derive(Debug)]
pub struct Machine<S> {
    settings: ChoiceSettings,
    random: fastrand::Rng,
    deadline_at: Duration,
    started: bool,
    /// Whether candidates may serve: the control plane was given its chance.
    released: bool,
    told_empty: bool,
    /// Addresses that have failed since the control plane was last there.
    failed: BTreeSet<String>,
    connected: bool,
    /// Whether the control plane is there and has confirmed or replaced what is served.
    current: bool,
    /// The last offer of the control plane that is not decided upon.
    authority: Option<Offer<S>>,
    candidates: Vec<Offer<S>>,
    /// What the disk cache holds, newest first, once it was read: what former lives served.
    cached: Option<Vec<Identity>>,
    storages: Vec<StorageState>,
    served: Option<Served>,
    activating: Option<Served>,
    quarantine: HashSet<Identity>,
    /// Notices that are told once until the situation changes.
    told: Vec<Notice>,
}

impl<S: Clone> Machine<S> {
    /// `seed` feeds the jitter.
    pub fn new(settings: ChoiceSettings, seed: u64) -> Self {
        let storages = (0..settings.storages)
            .map(|_| StorageState {
                reading: false,
                next_at: None,
                backoff: Backoff::new(settings.retry_base, settings.retry_cap),
            })
            .collect();
        Self {
            settings,
            random: fastrand::Rng::with_seed(seed),
            deadline_at: Duration::MAX,
            started: false,
            released: false,
            told_empty: false,
            failed: BTreeSet::new(),
            connected: false,
            current: false,
            authority: None,
            candidates: Vec::new(),
            cached: None,
            storages,
            served: None,
            activating: None,
            quarantine: HashSet::new(),
            told: Vec::new(),
        }
    }

    /// What is served.
    pub fn served(&self) -> Option<(Source, Identity)> {
        self.served.map(|served| (served.source, served.identity))
    }

    /// Whether the control plane is there and stands behind what is served.
    pub fn is_current(&self) -> bool {
        self.current
    }

    /// What cannot be used on this node.
    pub fn quarantine(&self) -> &HashSet<Identity> {
        &self.quarantine
    }

    /// When a [`Event::Tick`] is due.
    pub fn wake_at(&self) -> Option<Duration> {
        let deadline = (self.started && !self.past_deadline()).then_some(self.deadline_at);
        // A storage that is being read is read again when the answer is there.
        let idle = self.storages.iter().filter(|storage| !storage.reading);
        let storages = idle.filter_map(|storage| storage.next_at);
        storages.chain(deadline).min()
    }

    fn past_deadline(&self) -> bool {
        self.deadline_at == Duration::MAX
    }

    /// Takes in what has happened at `now` and decides.
    pub fn handle(&mut self, now: Duration, event: Event<S>) -> Vec<Decision<S>> {
        let mut decisions = Vec::new();
        match event {
            Event::Started(quarantine) => {
                self.started = true;
                self.quarantine = quarantine;
                self.deadline_at = now + self.settings.deadline;
                self.released = self.settings.control_planes == 0;
                decisions.push(Decision::LoadCache);
                self.follow(now);
            }
            Event::CacheLoaded(offers) => {
                self.cached = Some(offers.iter().map(|offer| offer.identity).collect());
                let young = offers.into_iter().filter(|offer| !offer.stale);
                self.candidates.extend(young);
            }
            Event::StorageFetched(index, offer) => self.fetched(now, index, offer),
            Event::StorageFailed(index) => {
                if let Some(storage) = self.storages.get_mut(index) {
                    storage.reading = false;
                    let delay = storage.backoff.next(&mut self.random);
                    storage.next_at = (!self.current).then(|| now + delay);
                }
            }
            Event::DialFailed(address) => self.address_failed(address),
            Event::Connected => self.connected = true,
            Event::Stalled => self.away(now),
            Event::Disconnected(address) => {
                self.connected = false;
                self.away(now);
                self.address_failed(address);
            }
            Event::SnapshotArrived(offer) => self.authority = Some(offer),
            Event::DocumentRefused => self.away(now),
            Event::Activated => {
                if let Some(activated) = self.activating.take() {
                    self.served = Some(activated);
                    self.released = true;
                    if activated.source == Source::ControlPlane {
                        self.arrived();
                    }
                }
            }
            Event::Rejected => self.rejected(now),
            Event::Tick => {}
        }
        if now >= self.deadline_at {
            self.deadline_at = Duration::MAX;
            self.released = true;
        }
        if self.started {
            self.choose(now, &mut decisions);
            self.read_storages(now, &mut decisions);
        }
        decisions
    }

    fn fetched(&mut self, now: Duration, index: usize, offer: Option<Offer<S>>) {
        let Some(storage) = self.storages.get_mut(index) else {
            return;
        };
        storage.reading = false;
        let delay = match &offer {
            // A new cluster's storage fills within seconds: nothing yet is worth another look
            // soon, as long as nothing is served.
            None if self.served.is_none() => storage.backoff.next(&mut self.random),
            _ => {
                storage.backoff.reset();
                self.settings
                    .refresh
                    .mul_f64(0.75 + 0.5 * self.random.f64())
            }
        };
        storage.next_at = (!self.current).then(|| now + delay);
        if let Some(offer) = offer.filter(|offer| !offer.stale) {
            self.candidates.retain(|known| known.source != offer.source);
            self.candidates.push(offer);
        }
    }

    fn address_failed(&mut self, address: String) {
        self.failed.insert(address);
        if self.failed.len() >= self.settings.control_planes {
            self.released = true;
        }
    }

    /// The control plane has proved useful: it alone is followed, as long as it is there.
    fn arrived(&mut self) {
        if !self.connected {
            return;
        }
        self.current = true;
        self.failed.clear();
        self.candidates.clear();
        for storage in &mut self.storages {
            storage.next_at = None;
        }
    }

    /// The control plane is of no use for now: the storages are followed.
    fn away(&mut self, now: Duration) {
        self.released = true;
        if self.current {
            self.current = false;
            // A fleet loses its control plane in one moment, and must not fall upon the storage
            // in the next.
            let refresh = self.settings.refresh;
            for storage in &mut self.storages {
                storage.next_at = Some(now + refresh.mul_f64(self.random.f64()));
            }
        }
    }

    /// Reads every storage now.
    fn follow(&mut self, now: Duration) {
        for storage in &mut self.storages {
            storage.next_at = Some(now);
        }
    }

    fn rejected(&mut self, now: Duration) {
        let Some(Served {
            source, identity, ..
        }) = self.activating.take()
        else {
            return;
        };
        self.quarantine.insert(identity);
        self.candidates.retain(|offer| offer.identity != identity);
        if source == Source::ControlPlane {
            self.away(now);
        }
        if self.served.is_none() {
            // The storages may hold an older one that is good.
            self.follow(now);
        }
    }

    fn read_storages(&mut self, now: Duration, decisions: &mut Vec<Decision<S>>) {
        for (index, storage) in self.storages.iter_mut().enumerate() {
            if !storage.reading && storage.next_at.is_some_and(|at| now >= at) {
                storage.reading = true;
                storage.next_at = None;
                decisions.push(Decision::Fetch(index, self.quarantine.clone()));
            }
        }
    }
}

#[cfg(test)]
mod tests;
