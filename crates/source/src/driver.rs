//! Does what the machine decides: reads, verifies, activates, reports.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use keelgate_fallback::{Candidate, Fetched, Fetcher, Refusal};
use keelgate_snapshot::{Identity, Snapshot, VerifyError};
use keelgate_sync::{Applied, Rejection};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::cache::{Cache, Loaded};
use crate::crash::CrashGuard;
use crate::durable;
use crate::machine::{ChoiceSettings, Decision, Event, Machine};
use crate::report::{Report, Serving, State};
use crate::{ActivationError, Activator, Notice, Offer, Source, SourceSettings, Verifiers};

/// What a task of the driver has found.
enum Message {
    CacheLoaded(Cache, Loaded),
    Fetched(usize, Fetched),
    Verified(Result<Snapshot, VerifyError>),
    Activated(Result<(), ActivationError>),
    /// What serves could not be written to disk.
    NotKept(String),
}

/// Where the driver tells what it did.
pub(crate) struct Outlets {
    pub(crate) report: watch::Sender<Report>,
    pub(crate) served: watch::Sender<Option<Snapshot>>,
    pub(crate) applied: Option<watch::Sender<Applied>>,
}

pub(crate) struct Driver {
    machine: Machine<Snapshot>,
    start: Instant,
    cache_directory: PathBuf,
    locations: Vec<String>,
    fetchers: Vec<Arc<tokio::sync::Mutex<Fetcher>>>,
    verifiers: Verifiers,
    activator: Arc<dyn Activator>,
    guard: Arc<Mutex<CrashGuard>>,
    /// The guard's mark of an activation; the guard itself is held while one runs.
    mark: PathBuf,
    activating: Option<Offer<Snapshot>>,
    verifying: bool,
    /// The last document of the control plane; one that waits is superseded.
    unverified: Option<Bytes>,
    /// What is told after every event, as a whole.
    view: Report,
    outlets: Outlets,
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
        let driver = Self {
            machine: Machine::new(choice, fastrand::u64(..)),
            start: Instant::now(),
            cache_directory: settings.directory.join("cache"),
            locations: fetchers.iter().map(|f| f.location().to_owned()).collect(),
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
            unverified: None,
            view: Report::new(),
            outlets,
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
            }
            self.outlets.report.send_replace(self.view.clone());
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
            self.trouble(
                "disk",
                "disk",
                format!("cannot keep the quarantine on disk: {error}"),
            );
        }
        quarantine
    }

    /// Takes in what the client of the control plane tells.
    fn hear(&mut self, event: keelgate_sync::Event) {
        use keelgate_sync::Event as Sync;
        match event {
            Sync::Dialing { .. } => {}
            Sync::DialFailed {
                address,
                phase,
                error,
                ..
            } => {
                let message =
                    format!("control plane {address} cannot be reached ({phase}): {error}");
                self.trouble(&address, "control_plane_unreachable", message);
                self.handle(Event::DialFailed(address));
            }
            Sync::Connected { address } => {
                self.view.control_plane = Some(address);
                self.handle(Event::Connected);
            }
            Sync::Stalled { address, after } => {
                let message = format!(
                    "control plane {address} is connected and has sent no configuration for {after:?}"
                );
                self.trouble(&address, "control_plane_stalled", message);
                self.handle(Event::Stalled);
            }
            Sync::Document(document) => {
                self.unverified = Some(document);
                self.verify_next();
            }
            Sync::Disconnected { address, reason } => {
                self.view.control_plane = None;
                let message = format!("the connection to control plane {address} ended: {reason}");
                self.trouble(&address, "control_plane_lost", message);
                self.handle(Event::Disconnected(address));
            }
        }
    }

    /// Verifies the last document beside the async threads.
    fn verify_next(&mut self) {
        if self.verifying {
            return;
        }
        let Some(document) = self.unverified.take() else {
            return;
        };
        self.verifying = true;
        let verify = Arc::clone(&self.verifiers.control_plane);
        let messages = self.messages.clone();
        spawn_blocking(move || {
            let _ = messages.blocking_send(Message::Verified(verify(document)));
        });
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
            Message::Activated(result) => self.activated(result),
            Message::NotKept(error) => {
                let message = format!("the configuration is not kept on disk, will retry: {error}");
                self.trouble("cache", "disk", message);
            }
        }
    }

    fn cache_loaded(&mut self, cache: Cache, loaded: Loaded) {
        for error in &loaded.refused {
            self.trouble("cache", "cache_refused", error.to_string());
        }
        self.cache_writer = Some(tokio::spawn(keep(
            cache,
            self.outlets.served.subscribe(),
            self.messages.clone(),
        )));
        let offers = loaded
            .good
            .into_iter()
            .map(|snapshot| offer(Source::Cache, snapshot))
            .collect();
        self.handle(Event::CacheLoaded(offers));
    }

    fn fetched(&mut self, index: usize, fetched: Fetched) {
        let absent = fetched.refusals.first().is_none_or(Refusal::is_absence);
        for refusal in &fetched.refusals {
            // That a prefix is empty is worth telling only where it leaves nothing to serve.
            if !refusal.is_absence() || fetched.candidate.is_none() {
                self.trouble(&refusal.storage, refusal.kind(), refusal.to_string());
            }
        }
        self.handle(match fetched.candidate {
            Some(Candidate { snapshot, .. }) => {
                Event::StorageFetched(index, Some(offer(Source::Storage(index), snapshot)))
            }
            None if absent => Event::StorageFetched(index, None),
            None => Event::StorageFailed(index),
        });
    }

    fn verified(&mut self, result: Result<Snapshot, VerifyError>) {
        match result {
            Ok(snapshot) => self.handle(Event::SnapshotArrived(offer(
                Source::ControlPlane,
                snapshot,
            ))),
            Err(error) => {
                let message = format!("a document of the control plane is refused: {error}");
                self.reject(None, None, error.to_string());
                self.trouble("control_plane", "control_plane_refused", message);
                self.handle(Event::DocumentRefused);
            }
        }
    }

    fn activated(&mut self, result: Result<(), ActivationError>) {
        let Some(offer) = self.activating.take() else {
            return;
        };
        match result {
            Ok(()) => {
                self.serve(&offer);
                self.handle(Event::Activated);
            }
            Err(error) => {
                let identity = offer.identity;
                let origin = self.origin(offer.source);
                let message = format!(
                    "snapshot {identity} from {origin} cannot be used, what served before serves on: {error}"
                );
                if offer.source == Source::ControlPlane {
                    let hash = offer.snapshot.config_hash().to_owned();
                    self.reject(Some(identity), Some(hash), error.to_string());
                }
                self.trouble(&origin, "rejected", message);
                self.handle(Event::Rejected);
            }
        }
    }

    /// Tells the world what is served now.
    fn serve(&mut self, offer: &Offer<Snapshot>) {
        let (source, origin) = (name(offer.source), self.origin(offer.source));
        tracing::info!(identity = %offer.identity, source, origin, "configuration serves");
        let elapsed = self.start.elapsed();
        self.outlets
            .served
            .send_replace(Some(offer.snapshot.clone()));
        self.view.serving = Some(Serving::new(source, origin, &offer.snapshot));
        self.view
            .first_served_after_ms
            .get_or_insert(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX));
        if let Some(applied) = &self.outlets.applied {
            applied.send_modify(|applied| {
                offer
                    .snapshot
                    .config_hash()
                    .clone_into(&mut applied.config_hash);
                applied.identity = Some(offer.identity);
                applied.source = Some(source.to_owned());
                applied.rejection = None;
            });
        }
    }

    fn reject(&self, identity: Option<Identity>, config_hash: Option<String>, reason: String) {
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

    fn handle(&mut self, event: Event<Snapshot>) {
        let now = self.start.elapsed();
        for decision in self.machine.handle(now, event) {
            self.perform(decision);
        }
        let served = self.machine.served();
        let state = match served {
            Some(_) if self.machine.is_current() => State::Current,
            Some(_) => State::Fallback,
            None if self.view.state == State::Empty => State::Empty,
            None => State::Starting,
        };
        let confirmed = served.map(|(source, _)| (name(source), self.origin(source)));
        let quarantine = self.machine.quarantine();
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
    }

    fn perform(&mut self, decision: Decision<Snapshot>) {
        match decision {
            Decision::LoadCache => {
                let mut cache = Cache::new(self.cache_directory.clone());
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
            Decision::Adopt(offer) => self.serve(&offer),
            Decision::Tell(notice) => self.tell(notice),
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

    fn tell(&mut self, notice: Notice) {
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

    fn trouble(&mut self, origin: &str, kind: &'static str, message: String) {
        tracing::warn!(origin, kind, "{message}");
        self.view.trouble(origin, kind, message);
    }

    /// Where a source is, for people.
    fn origin(&self, source: Source) -> String {
        match source {
            Source::ControlPlane => self.view.control_plane.clone().unwrap_or_default(),
            Source::Cache => self.cache_directory.display().to_string(),
            Source::Storage(index) => self.locations.get(index).cloned().unwrap_or_default(),
        }
    }
}

/// Wait until what could not be written to disk is tried again.
const KEEP_AGAIN: Duration = Duration::from_secs(30);

/// Writes what is served to disk, the newest only. What cannot be written is tried again, and told.
async fn keep(
    mut cache: Cache,
    mut served: watch::Receiver<Option<Snapshot>>,
    messages: mpsc::Sender<Message>,
) {
    served.mark_changed();
    let mut failed = false;
    loop {
        let again = async {
            match failed {
                true => sleep(KEEP_AGAIN).await,
                false => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = served.changed() => if changed.is_err() { return },
            () = again => {}
        }
        let Some(snapshot) = served.borrow_and_update().clone() else {
            continue;
        };
        let stored = spawn_blocking(move || {
            let result = cache.store(&snapshot);
            (cache, result)
        });
        let Ok((kept, result)) = stored.await else {
            tracing::error!("the writer of the disk cache failed");
            return;
        };
        cache = kept;
        failed = result.is_err();
        if let Err(error) = result {
            // Whoever is told may be gone or busy; the next attempt tells again.
            let _ = messages.try_send(Message::NotKept(error.to_string()));
        }
    }
}

fn offer(source: Source, snapshot: Snapshot) -> Offer<Snapshot> {
    Offer {
        source,
        identity: *snapshot.identity(),
        empty: snapshot.configures_nothing(),
        snapshot,
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

/// A guard whose holder panicked is still good: every write of it is whole.
fn lock(guard: &Mutex<CrashGuard>) -> std::sync::MutexGuard<'_, CrashGuard> {
    guard
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use keelgate_snapshot::{Position, build};
    use uuid::Uuid;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_a_full_disk_refused_is_written_later() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("cache");
        // A file in the place of the directory, as good as a disk that is full.
        std::fs::write(&directory, "").unwrap();
        let position = Position {
            cluster_id: Uuid::from_u128(1),
            epoch: 1,
            revision: 1,
        };
        let config = serde_json::json!({"_format_version": "3.0"});
        let snapshot = build(&config, position, "0.1.0", SystemTime::now(), None).unwrap();
        let (_serving, served) = watch::channel(Some(snapshot));
        let (messages, mut inbox) = mpsc::channel(1);
        tokio::spawn(keep(Cache::new(directory.clone()), served, messages));
        let Some(Message::NotKept(error)) = inbox.recv().await else {
            panic!("not told");
        };
        assert!(error.contains("current.json"), "{error}");
        std::fs::remove_file(&directory).unwrap();
        while !directory.join("current.json").exists() {
            sleep(KEEP_AGAIN).await;
        }
    }
}
