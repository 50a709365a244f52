//! The choice of configuration, without I/O and without a clock.
//!
//! The control plane is asked first, and its answer is the authority. Cache and storages are read
//! at the same time, and the best of them serves as soon as the control plane is known to be away
//! (every address failed, or it sent something useless) or the deadline has passed. After that,
//! whatever is newer replaces what is served, and nothing that is older ever does.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use keelgate_fallback::Backoff;
use keelgate_snapshot::Identity;

use crate::offer::Standing;
use crate::{Notice, Offer, Source};

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
    /// Tell the operator.
    Tell(Notice),
}

#[derive(Debug)]
struct StorageState {
    reading: bool,
    /// When it is to be read next; nothing while it is not followed.
    next_at: Option<Duration>,
    backoff: Backoff,
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
    served: Option<(Source, Identity)>,
    activating: Option<(Source, Identity)>,
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
        self.served
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
                self.candidates.extend(offers);
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
                    if activated.0 == Source::ControlPlane {
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
        if let Some(offer) = offer {
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
        let Some((source, identity)) = self.activating.take() else {
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

    fn choose(&mut self, now: Duration, decisions: &mut Vec<Decision<S>>) {
        if self.activating.is_some() {
            return;
        }
        if self.knows_the_last_life()
            && let Some(offer) = self.authority.take()
        {
            self.obey(now, offer, decisions);
        }
        if self.activating.is_none() && self.released && !self.current {
            self.fall_back(decisions);
        }
    }

    /// Whether it is known what a former life served, or something else counts more by now.
    fn knows_the_last_life(&self) -> bool {
        self.cached.is_some() || self.served.is_some() || self.past_deadline()
    }

    /// What counts as served: until something is, what a former life served last. A restart is no
    /// way back.
    fn last_served(&self) -> Option<Identity> {
        let last_life = || {
            let mut cached = self.cached.iter().flatten();
            cached
                .find(|known| !self.quarantine.contains(known))
                .copied()
        };
        match self.served {
            Some((_, identity)) => Some(identity),
            None => last_life(),
        }
    }

    /// Keeps what the control plane offers in vain, for the case that nothing better can be used.
    fn put_off(&mut self, offer: Offer<S>) {
        if self.served.is_none() {
            self.candidates.push(offer);
        }
    }

    /// Decides upon an offer of the control plane.
    fn obey(&mut self, now: Duration, offer: Offer<S>, decisions: &mut Vec<Decision<S>>) {
        let offered = offer.identity;
        if self.quarantine.contains(&offered) {
            let source = offer.source;
            self.away(now);
            self.tell(Notice::Quarantined { source, offered }, decisions);
            return;
        }
        let served = self.last_served();
        match (Standing::of(&offered, served.as_ref()), served) {
            (Standing::Newer, _) | (_, None) => self.activate(offer, decisions),
            (Standing::Same | Standing::Renamed, _) if self.served.is_none() => {
                self.activate(offer, decisions);
            }
            (Standing::Same, _) => {
                self.served = Some((Source::ControlPlane, offered));
                self.arrived();
                self.tell(Notice::Confirmed(offered), decisions);
            }
            (Standing::Renamed, _) => {
                self.served = Some((Source::ControlPlane, offered));
                self.arrived();
                decisions.push(Decision::Adopt(offer));
            }
            // A Kong control plane numbers by its clock, and two of them have two clocks: what it
            // says last is what counts.
            (Standing::Older | Standing::Fork, Some(_)) if offered.epoch == 0 => {
                self.activate(offer, decisions);
            }
            (Standing::Older, Some(served)) => {
                self.away(now);
                self.put_off(offer);
                self.tell(Notice::ControlPlaneBehind { offered, served }, decisions);
            }
            (Standing::Fork, Some(served)) => {
                let source = offer.source;
                self.away(now);
                self.put_off(offer);
                let fork = Notice::Fork {
                    source,
                    offered,
                    served,
                };
                self.tell(fork, decisions);
            }
            (Standing::Foreign, Some(served)) if offer.empty => {
                self.away(now);
                self.tell(Notice::EmptyCluster { offered, served }, decisions);
            }
            (Standing::Foreign, Some(served)) => {
                self.tell(Notice::ClusterChanged { offered, served }, decisions);
                self.activate(offer, decisions);
            }
        }
    }

    /// Serves the best candidate, if it is better than what is served.
    fn fall_back(&mut self, decisions: &mut Vec<Decision<S>>) {
        let served = self.served.map(|(_, identity)| identity);
        let mut best: Option<Offer<S>> = None;
        for offer in std::mem::take(&mut self.candidates) {
            if self.quarantine.contains(&offer.identity) {
                let (source, offered) = (offer.source, offer.identity);
                self.tell(Notice::Quarantined { source, offered }, decisions);
                continue;
            }
            match (Standing::of(&offer.identity, served.as_ref()), served) {
                (Standing::Newer | Standing::Renamed, _) => {
                    let better = best.as_ref().is_none_or(|best| {
                        let standing = Standing::of(&offer.identity, Some(&best.identity));
                        matches!(standing, Standing::Newer | Standing::Renamed)
                    });
                    // What is not best now may be it after a rejection.
                    let other = if better {
                        best.replace(offer)
                    } else {
                        Some(offer)
                    };
                    self.candidates.extend(other);
                }
                (Standing::Fork, Some(served)) => {
                    let (source, offered) = (offer.source, offer.identity);
                    let fork = Notice::Fork {
                        source,
                        offered,
                        served,
                    };
                    self.tell(fork, decisions);
                }
                (Standing::Foreign, Some(served)) => {
                    let (source, offered) = (offer.source, offer.identity);
                    let foreign = Notice::Foreign {
                        source,
                        offered,
                        served,
                    };
                    self.tell(foreign, decisions);
                }
                (Standing::Same | Standing::Older, _) | (_, None) => {}
            }
        }
        match best {
            Some(offer) if Standing::of(&offer.identity, served.as_ref()) == Standing::Renamed => {
                self.served = Some((offer.source, offer.identity));
                decisions.push(Decision::Adopt(offer));
            }
            Some(offer) => self.activate(offer, decisions),
            None if served.is_none() && self.past_deadline() && !self.told_empty => {
                self.told_empty = true;
                decisions.push(Decision::Tell(Notice::Empty));
            }
            None => {}
        }
    }

    fn activate(&mut self, offer: Offer<S>, decisions: &mut Vec<Decision<S>>) {
        self.told.clear();
        self.activating = Some((offer.source, offer.identity));
        decisions.push(Decision::Activate(offer));
    }

    /// Tells something that has not just been told.
    fn tell(&mut self, notice: Notice, decisions: &mut Vec<Decision<S>>) {
        const REMEMBERED: usize = 32;
        if self.told.contains(&notice) {
            return;
        }
        if self.told.len() == REMEMBERED {
            self.told.remove(0);
        }
        self.told.push(notice);
        decisions.push(Decision::Tell(notice));
    }
}

#[cfg(test)]
mod tests;
