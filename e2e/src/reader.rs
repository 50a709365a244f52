//! Readers that follow a storage for as long as a test lasts, and note whenever they would have gone
//! back.
//!
//! One judges what is stored by its own reading of the objects, not by the code under test. Another
//! one uses that code, as a data plane that is born at this moment.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use keelgate_fallback::{Environment, Fetcher, StorageSettings, Verify, open};
use keelgate_snapshot::Verifier;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::{Cluster, Storage};

/// How long the reader rests between two looks.
const REST: Duration = Duration::from_millis(15);

/// Epoch and revision, which order the snapshots of one cluster.
pub type Position = (u64, u64);

/// What the reader chooses among.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// `config.json`, as readers do where the storage compares.
    Config,
    /// The newest of `config.json` and the history, as readers do where it does not.
    Newest,
}

/// What a reader saw.
#[derive(Clone, Debug, Default)]
pub struct Sightings {
    /// How often it looked.
    pub looks: u64,
    /// What it would have chosen, each once, in order.
    pub chosen: Vec<Position>,
    /// What data planes would have chosen that are born at the time of each look.
    pub born_with: Vec<Position>,
    /// Everything that must not be: going back, an object that was there and is gone or torn.
    pub faults: Vec<String>,
    /// How often `config.json` itself was older than at the look before.
    pub relapses: u64,
}

/// A running reader.
pub struct Reader {
    stop: watch::Sender<bool>,
    task: JoinHandle<Sightings>,
}

impl Reader {
    /// Begins to follow the first storage of a cluster.
    pub fn start(cluster: &Cluster, choice: Choice) -> Self {
        let (stop, stopped) = watch::channel(false);
        let storage = Arc::clone(cluster.shared_storage());
        let task = tokio::spawn(follow(storage, Newborn::of(cluster), choice, stopped));
        Self { stop, task }
    }

    /// Takes a last look, and tells what was seen. Panics if anything was seen that must not be.
    pub async fn stop(self) -> Sightings {
        self.stop.send_replace(true);
        let sightings = self.task.await.expect("the reader does not panic");
        assert!(
            sightings.faults.is_empty(),
            "{} of {} looks at the storage were wrong: {:#?}",
            sightings.faults.len(),
            sightings.looks,
            sightings.faults
        );
        sightings
    }
}

async fn follow(
    storage: Arc<Storage>,
    newborn: Newborn,
    choice: Choice,
    stopped: watch::Receiver<bool>,
) -> Sightings {
    let mut seen = Sightings::default();
    let mut last: Option<Position> = None;
    loop {
        let is_last = *stopped.borrow();
        // In this order: what is written to the history before `config.json` cannot be missed.
        let config = config(&storage).await;
        let history = match choice {
            Choice::Config => None,
            Choice::Newest => history(&storage).await.into_iter().max(),
        };
        seen.looks += 1;
        let config = match config {
            Ok(config) => config,
            Err(fault) => {
                seen.faults.push(fault);
                None
            }
        };
        if config.is_none() && last.is_some() {
            seen.faults.push("config.json is gone".to_owned());
        }
        if config.is_some() && config < last {
            seen.relapses += 1;
        }
        last = config.or(last);
        if let Some(chosen) = config.max(history) {
            goes_on(&mut seen.chosen, chosen, &mut seen.faults);
        }
        match newborn.choose().await {
            Ok(chosen) => goes_on(&mut seen.born_with, chosen, &mut seen.faults),
            Err(_) if seen.born_with.is_empty() => {}
            Err(reasons) => seen
                .faults
                .push(format!("nothing to be born with: {reasons}")),
        }
        if is_last {
            return seen;
        }
        tokio::time::sleep(REST).await;
    }
}

/// Adds what is chosen now, which must not be older than what was chosen before.
fn goes_on(chosen: &mut Vec<Position>, now: Position, faults: &mut Vec<String>) {
    match chosen.last() {
        Some(last) if *last > now => faults.push(format!("went back from {last:?} to {now:?}")),
        Some(last) if *last == now => {}
        _ => chosen.push(now),
    }
}

/// A data plane that has read nothing yet.
struct Newborn {
    storage: Arc<dyn keelgate_fallback::Storage>,
    verify: Verify,
}

impl Newborn {
    fn of(cluster: &Cluster) -> Self {
        let storage = cluster.storage();
        let location = storage.url.parse().expect("a storage under test has a URL");
        let settings = StorageSettings {
            environment: Environment::new(storage.environment.clone()),
            ..StorageSettings::default()
        };
        let certificate =
            std::fs::read_to_string(cluster.certificate()).expect("read the cluster certificate");
        let verifier = Verifier::shared(&certificate).expect("the cluster certificate verifies");
        Self {
            storage: open(&location, &settings).expect("a storage under test can be opened"),
            verify: Arc::new(move |document| verifier.verify(document)),
        }
    }

    /// What it would serve; else why it would serve nothing.
    async fn choose(&self) -> Result<Position, String> {
        let version = env!("CARGO_PKG_VERSION");
        let mut fetcher =
            Fetcher::new(Arc::clone(&self.storage), version, Arc::clone(&self.verify));
        let fetched = fetcher.fetch(&HashSet::new()).await;
        match fetched.candidate {
            Some(candidate) => Ok(candidate.snapshot.identity().position()),
            None => Err(format!("{:?}", fetched.refusals)),
        }
    }
}

/// The position of `config.json`; nothing when there is none.
async fn config(storage: &Storage) -> Result<Option<Position>, String> {
    let Some(body) = storage.read(&Storage::config_key()).await else {
        return Ok(None);
    };
    match identity(&body) {
        Some(identity) => Ok(Some(position(&identity))),
        None => Err(format!(
            "config.json is torn: {}",
            String::from_utf8_lossy(&body[..body.len().min(200)])
        )),
    }
}

/// The positions in the names of the history.
pub(crate) async fn history(storage: &Storage) -> Vec<Position> {
    let names = storage.list(&Storage::key("history")).await;
    names.iter().filter_map(|name| named(name)).collect()
}

/// The position in the name of a history object.
pub(crate) fn named(key: &str) -> Option<Position> {
    let mut parts = key.rsplit('/').next()?.split('-');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// The identity that a snapshot claims.
pub fn identity(document: &[u8]) -> Option<Value> {
    let document: Value = serde_json::from_slice(document).ok()?;
    let identity = document["keelgate"]["identity"].clone();
    identity["revision"].is_u64().then_some(identity)
}

/// Epoch and revision of an identity.
pub fn position(identity: &Value) -> Position {
    let number = |name: &str| identity[name].as_u64().unwrap_or_default();
    (number("epoch"), number("revision"))
}
