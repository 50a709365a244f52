//! A reader that follows a storage for as long as a test lasts, and notes whenever it would have
//! gone back.
//!
//! It judges what is stored by its own reading of the objects, not by the code under test.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::Storage;

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
    /// Everything that must not be: going back, an object that was there and is gone or torn.
    pub faults: Vec<String>,
    /// How often `config.json` itself was older than before.
    pub relapses: u64,
}

/// A running reader.
pub struct Reader {
    stop: watch::Sender<bool>,
    task: JoinHandle<Sightings>,
}

impl Reader {
    /// Begins to follow `storage`.
    pub fn start(storage: Arc<Storage>, choice: Choice) -> Self {
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(follow(storage, choice, stopped));
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
    choice: Choice,
    stopped: watch::Receiver<bool>,
) -> Sightings {
    let mut seen = Sightings::default();
    let mut newest_config: Option<Position> = None;
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
        if config.is_none() && newest_config.is_some() {
            seen.faults.push("config.json is gone".to_owned());
        }
        if config.is_some() && config < newest_config {
            seen.relapses += 1;
        }
        newest_config = newest_config.max(config);
        if let Some(chosen) = config.max(history) {
            match seen.chosen.last() {
                Some(last) if *last > chosen => {
                    seen.faults
                        .push(format!("went back from {last:?} to {chosen:?}"));
                }
                Some(last) if *last == chosen => {}
                _ => seen.chosen.push(chosen),
            }
        }
        if is_last {
            return seen;
        }
        tokio::time::sleep(REST).await;
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
