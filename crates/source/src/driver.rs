//! Does what the machine decides: reads, verifies, activates, reports.

mod hearing;
mod inbound;
mod keeper;
mod teller;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use keelgate_fallback::{Candidate, Fetched, Fetcher, Refusal};
use keelgate_snapshot::{DeltaError, Identity, Snapshot, VerifyError};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::cache::{Cache, Loaded};
use crate::crash::CrashGuard;
use crate::durable;
use crate::machine::{ChoiceSettings, Decision, Event, Machine};
use crate::{ActivationError, Activator, AgeBound, Offer, Source, SourceSettings, Verifiers};

use inbound::Inbound;
pub(crate) use teller::Outlets;
use teller::Teller;

/// What a task of the driver has found.
enum Message {
    CacheLoaded(Cache, Loaded),
    Fetched(usize, Fetched),
    Verified(Result<Snapshot, VerifyError>),
    Reached(Result<Snapshot, DeltaError>),
    Activated(Result<(), ActivationError>),
    /// What serves could not be written to disk.
    NotKept(String),
}

pub(crate) struct Driver {
    machine: Machine<Snapshot>,
    start: Instant,
    cache: Option<Cache>,
    age: AgeBound,
    fetchers: Vec<Arc<tokio::sync::Mutex<Fetcher>>>,
    verifiers: Verifiers,
    activator: Arc<dyn Activator>,
    guard: Arc<Mutex<CrashGuard>>,
    /// The guard's mark of an activation; the guard itself is held while one runs.
    mark: PathBuf,
    activating: Option<Offer<Snapshot>>,
    verifying: bool,
    /// What the control plane has sent since.
    inbound: Inbound,
    teller: Teller,
    messages: mpsc::Sender<Message>,
    cache_writer: Option<JoinHandle<()>>,
}

impl Driver {
    pub(crate) fn start(
        settings: SourceSettings,
        fetchers: Vec<Fetcher>,
        verifiers: Verifiers,
        activator: Arc<dyn Activator>,
        outlets: Outlets,
        events: Option<mpsc::Receiver<keelgate_sync::Event>>,
        stop: CancellationToken,
    ) -> JoinHandle<()> {
        // One answer at most of every storage, the cache, its writer, the verifier and the activator.
        let (messages, inbox) = mpsc::channel(fetchers.len() + 4);
        let choice = ChoiceSettings {
            control_planes: events
                .as_ref()
                .map_or(0, |_| settings.control_planes.max(1)),
            storages: fetchers.len(),
            deadline: settings.deadline,
            refresh: settings.refresh,
            ..ChoiceSettings::default()
        };
        let guard = CrashGuard::new(settings.directory.join("guard"), &settings.version);
        let directory = settings.directory.join("cache");
        let locations = fetchers.iter().map(|f| f.location().to_owned()).collect();
        let start = Instant::now();
        let driver = Self {
            machine: Machine::new(choice, fastrand::u64(..)),
            start,
            teller: Teller::new(start, directory.clone(), locations, settings.age, outlets),
            cache: Some(Cache::new(directory, settings.sealing)),
            age: settings.age,
            fetchers: fetchers
                .into_iter()
                .map(|fetcher| Arc::new(tokio::sync::Mutex::new(fetcher)))
                .collect(),
            verifiers,
            activator,
            mark: guard.mark(),
            guard: Arc::new(Mutex::new(guard)),
            activating: None,
            verifying: false,
            inbound: Inbound::default(),
            messages,
            cache_writer: None,
        };
        tokio::spawn(driver.run(events, inbox, stop))
    }

    async fn run(
        mut self,
        mut events: Option<mpsc::Receiver<keelgate_sync::Event>>,
        mut inbox: mpsc::Receiver<Message>,
        stop: CancellationToken,
    ) {
        let quarantine = self.recover().await;
        self.handle(Event::Started(quarantine));
        loop {
            let wake = self.machine.wake_at().map(|at| self.start + at);
            let timer = async {
                match wake {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let look = self.teller.next_look();
            let aged = async {
                match look {
                    Some(wait) => sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            let told = async {
                match &mut events {
                    Some(events) => events.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                event = told => match event {
                    Some(event) => self.hear(event),
                    None => events = None,
                },
                Some(message) = inbox.recv() => self.take(message),
                () = timer => self.handle(Event::Tick),
                () = aged => self.teller.observe(&self.machine),
            }
            self.teller.publish();
        }
        // The end of this process is no death of the snapshot that is being activated.
        let mark = self.mark.clone();
        let removed = spawn_blocking(move || durable::remove(&mark)).await;
        if let Ok(Err(error)) = removed {
            tracing::warn!(%error, "cannot remove the mark of the activation from disk");
        }
        let writer = self.cache_writer.take();
        // The writer ends when nobody can serve anything new.
        drop(self);
        if let Some(writer) = writer
            && let Err(error) = writer.await
        {
            tracing::error!(%error, "the writer of the disk cache failed");
        }
    }

    async fn recover(&mut self) -> HashSet<Identity> {
        let guard = Arc::clone(&self.guard);
        let recovered = spawn_blocking(move || lock(&guard).recover()).await;
        let Ok((quarantine, kept)) = recovered else {
            return HashSet::new();
        };
        for identity in &quarantine {
            tracing::error!(%identity, "quarantined: its activation ended this process twice");
        }
        if let Err(error) = kept {
            self.teller.trouble(
                "disk",
                "disk",
                format!("cannot keep the quarantine on disk: {error}"),
            );
        }
        quarantine
    }

    /// Takes in what a task has found.
    fn take(&mut self, message: Message) {
        match message {
            Message::CacheLoaded(cache, loaded) => self.cache_loaded(cache, loaded),
            Message::Fetched(index, fetched) => self.fetched(index, fetched),
            Message::Verified(result) => {
                self.verifying = false;
                self.verified(result);
                self.verify_next();
            }
            Message::Reached(result) => {
                self.verifying = false;
                self.reached(result);
                self.verify_next();
            }
            Message::Activated(result) => self.activated(result),
            Message::NotKept(error) => {
                let message = format!("the configuration is not kept on disk, will retry: {error}");
                self.teller.trouble("cache", "disk", message);
            }
        }
    }

    fn cache_loaded(&mut self, cache: Cache, loaded: Loaded) {
        for error in &loaded.refused {
            self.teller
                .trouble("cache", "cache_refused", error.to_string());
        }
        let (served, messages) = (self.teller.served(), self.messages.clone());
        self.cache_writer = Some(tokio::spawn(keeper::keep(cache, served, messages)));
        let good = loaded.good.into_iter();
        let offers = good
            .map(|snapshot| self.offer(Source::Cache, snapshot))
            .collect();
        self.handle(Event::CacheLoaded(offers));
    }

    fn fetched(&mut self, index: usize, fetched: Fetched) {
        // Neither an empty storage nor one whose snapshots are too old gets better by haste.
        let in_vain = |refusal: &Refusal| refusal.is_absence() || refusal.kind() == "stale";
        let calm = fetched.refusals.first().is_none_or(in_vain);
        for refusal in &fetched.refusals {
            // That a prefix is empty is worth telling only where it leaves nothing to serve.
            if !refusal.is_absence() || fetched.candidate.is_none() {
                self.teller
                    .trouble(&refusal.storage, refusal.kind(), refusal.to_string());
            }
        }
        let event = match fetched.candidate {
            Some(Candidate { snapshot, .. }) => {
                let offer = self.offer(Source::Storage(index), snapshot);
                Event::StorageFetched(index, Some(offer))
            }
            None if calm => Event::StorageFetched(index, None),
            None => Event::StorageFailed(index),
        };
        self.handle(event);
    }

    /// What a source offers; where the bound says so, it is told that it is too old.
    fn offer(&mut self, source: Source, snapshot: Snapshot) -> Offer<Snapshot> {
        let aged = match source {
            // It is there, and stands behind what it sends.
            Source::ControlPlane => Ok(()),
            _ => self.age.check(&snapshot, SystemTime::now()),
        };
        let served = self.machine.served();
        let is_served = served.is_some_and(|(_, served)| served == *snapshot.identity());
        // The age of what is served is told by itself.
        if let Err(error) = &aged
            && !is_served
        {
            let origin = self.teller.origin(source);
            let message = format!("{origin}: not served: {error}");
            self.teller.trouble(&origin, error.kind(), message);
        }
        Offer {
            source,
            identity: *snapshot.identity(),
            stated_at: snapshot.created_at(),
            stale: aged.is_err(),
            empty: snapshot.configures_nothing(),
            snapshot,
        }
    }

    fn activated(&mut self, result: Result<(), ActivationError>) {
        let Some(offer) = self.activating.take() else {
            return;
        };
        match result {
            Ok(()) => {
                self.teller.serve(&offer);
                self.handle(Event::Activated);
            }
            Err(error) => {
                let identity = offer.identity;
                let origin = self.teller.origin(offer.source);
                let message = format!(
                    "snapshot {identity} from {origin} cannot be used, what served before serves on: {error}"
                );
                if offer.source == Source::ControlPlane {
                    let hash = offer.snapshot.config_hash().to_owned();
                    self.teller
                        .reject(Some(identity), Some(hash), error.to_string());
                }
                self.teller.trouble(&origin, "rejected", message);
                self.handle(Event::Rejected);
            }
        }
    }

    fn handle(&mut self, event: Event<Snapshot>) {
        let now = self.start.elapsed();
        for decision in self.machine.handle(now, event) {
            self.perform(decision);
        }
        self.teller.observe(&self.machine);
    }

    fn perform(&mut self, decision: Decision<Snapshot>) {
        match decision {
            Decision::LoadCache => {
                let Some(mut cache) = self.cache.take() else {
                    return;
                };
                let verify = Arc::clone(&self.verifiers.cache);
                let messages = self.messages.clone();
                spawn_blocking(move || {
                    let loaded = cache.load(&verify);
                    let _ = messages.blocking_send(Message::CacheLoaded(cache, loaded));
                });
            }
            Decision::Fetch(index, skip) => {
                let Some(fetcher) = self.fetchers.get(index).cloned() else {
                    return;
                };
                let messages = self.messages.clone();
                tokio::spawn(async move {
                    let fetched = fetcher.lock().await.fetch(&skip).await;
                    let _ = messages.send(Message::Fetched(index, fetched)).await;
                });
            }
            Decision::Activate(offer) => self.activate(offer),
            Decision::Adopt(offer) => {
                self.activator.restate(&offer.snapshot);
                self.teller.serve(&offer);
            }
            Decision::Restate(offer) => {
                self.activator.restate(&offer.snapshot);
                self.teller.restate(&offer.snapshot);
            }
            Decision::Tell(notice) => self.teller.tell(notice),
        }
    }

    fn activate(&mut self, offer: Offer<Snapshot>) {
        let snapshot = offer.snapshot.clone();
        let identity = offer.identity;
        self.activating = Some(offer);
        let (activator, guard) = (Arc::clone(&self.activator), Arc::clone(&self.guard));
        let messages = self.messages.clone();
        tokio::spawn(async move {
            let sender = messages.clone();
            let activation = spawn_blocking(move || {
                let mut guard = lock(&guard);
                // Serving is worth more than the guard: a full disk does not stop it.
                if let Err(error) = guard.begin(identity) {
                    tracing::warn!(%error, "cannot mark the activation on disk");
                }
                // Told before the disk has forgotten the mark: slow disks hold up no report. The
                // guard is held meanwhile, so that the next activation's mark comes after it.
                let _ = sender.blocking_send(Message::Activated(activator.activate(&snapshot)));
                if let Err(error) = guard.finish() {
                    tracing::warn!(%error, "cannot remove the mark of the activation from disk");
                }
            });
            if let Err(panic) = activation.await {
                let failed = ActivationError(format!("the activation failed: {panic}"));
                let _ = messages.send(Message::Activated(Err(failed))).await;
            }
        });
    }
}

/// A guard whose holder panicked is still good: every write of it is whole.
fn lock(guard: &Mutex<CrashGuard>) -> std::sync::MutexGuard<'_, CrashGuard> {
    guard
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
