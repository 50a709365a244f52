//! Whether a storage compares in conditional writes.
//!
//! Stores that call themselves compatible ignore a condition, refuse it, or honour it only when no
//! other request is under way. Nothing but asking tells, on objects of the probe's own.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{Backoff, ErrorKind, Layout, Storage, StorageError, Version};

/// Rounds of two concurrent writes.
const ROUNDS: u32 = 3;

/// Largest probe object that is read.
const PROBE_LIMIT: u64 = 4096;

/// A storage that comes and goes is not probed more often than this.
const PROBE_EVERY: Duration = Duration::from_secs(60);

/// What protects a storage from an older snapshot that is written late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fencing {
    /// Every write of `config.json` compares.
    Compare,
    /// The storage does not compare: readers choose among the history objects.
    None,
}

impl Fencing {
    /// The word of status, metrics and the index.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Compare => "compare",
            Self::None => "none",
        }
    }
}

impl std::fmt::Display for Fencing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Finds out whether `storage` compares, with a few small objects of `node` below
/// `VERSION/election/`, which are deleted afterwards where that is allowed.
///
/// # Errors
///
/// When the probe could not be finished; that decides nothing.
pub async fn probe(
    storage: &dyn Storage,
    layout: &Layout,
    node: Uuid,
) -> Result<Fencing, StorageError> {
    let probe = Probe {
        storage,
        nonce: Uuid::from_u128(fastrand::u128(..)),
    };
    let key = layout.probe(node, 0);
    let mut found = probe.alone(&key).await;
    probe.clear(&key).await;
    for round in 1..=ROUNDS {
        if !matches!(found, Ok(Fencing::Compare)) {
            break;
        }
        let key = layout.probe(node, round);
        found = probe.together(&key, round).await;
        probe.clear(&key).await;
    }
    found
}

struct Probe<'a> {
    storage: &'a dyn Storage,
    /// Tells the objects of this probe from those of another: equal bytes may have equal versions.
    nonce: Uuid,
}

/// How a conditional write was answered.
enum Answered {
    Won,
    Refused,
    /// Not in the way of a storage that knows conditions.
    Unable,
}

impl Probe<'_> {
    fn body(&self, step: u32) -> Bytes {
        format!(r#"{{"probe":"{}","step":{step}}}"#, self.nonce).into()
    }

    /// What must be refused, and what must win, with nobody else about.
    async fn alone(&self, key: &str) -> Result<Fencing, StorageError> {
        let first = self.storage.put(key, self.body(1)).await?;
        let created = self.storage.put_if_absent(key, self.body(2)).await;
        if !matches!(answered(created)?, Answered::Refused) {
            return Ok(Fencing::None);
        }
        let replaced = self.storage.put_if_match(key, self.body(3), &first).await;
        if !matches!(answered(replaced)?, Answered::Won) {
            return Ok(Fencing::None);
        }
        let stale = self.storage.put_if_match(key, self.body(4), &first).await;
        if !matches!(answered(stale)?, Answered::Refused) {
            return Ok(Fencing::None);
        }
        let held = self.storage.get(key, None, PROBE_LIMIT).await?;
        Ok(if held.bytes == self.body(3) {
            Fencing::Compare
        } else {
            Fencing::None
        })
    }

    /// Two writes at once, of which one must win.
    async fn together(&self, key: &str, round: u32) -> Result<Fencing, StorageError> {
        let bodies = [self.body(10 * round), self.body(10 * round + 1)];
        let [one, other] = &bodies;
        self.clear(key).await;
        let left_over = match self.storage.get(key, None, PROBE_LIMIT).await {
            Ok(object) => Some(object.version),
            Err(error) if error.kind == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let (left, right) = match &left_over {
            None => tokio::join!(
                self.storage.put_if_absent(key, one.clone()),
                self.storage.put_if_absent(key, other.clone()),
            ),
            Some(version) => tokio::join!(
                self.storage.put_if_match(key, one.clone(), version),
                self.storage.put_if_match(key, other.clone(), version),
            ),
        };
        let won = [left.is_ok(), right.is_ok()];
        let winner = match won {
            [true, true] => return Ok(Fencing::None),
            [true, false] => one,
            [false, true] => other,
            [false, false] => {
                // Told to try again, or lost on the way, is no answer; two refusals are one.
                answered(left)?;
                answered(right)?;
                return Ok(Fencing::None);
            }
        };
        let held = self.storage.get(key, None, PROBE_LIMIT).await?;
        Ok(if held.bytes == *winner {
            Fencing::Compare
        } else {
            Fencing::None
        })
    }

    async fn clear(&self, key: &str) {
        if let Err(error) = self.storage.delete(key).await {
            tracing::debug!(%error, "an object of the probe stays behind");
        }
    }
}

/// Tells a refusal by the condition from one that says nothing about conditions.
fn answered(result: Result<Version, StorageError>) -> Result<Answered, StorageError> {
    match result {
        Ok(_) => Ok(Answered::Won),
        Err(error) => match error.kind {
            ErrorKind::AlreadyExists | ErrorKind::Precondition => Ok(Answered::Refused),
            ErrorKind::Unsupported | ErrorKind::Invalid => Ok(Answered::Unable),
            _ => Err(error),
        },
    }
}

/// What is known of a storage's fencing.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Probed {
    pub(crate) fencing: Option<Fencing>,
    /// What keeps the probe from being finished.
    pub(crate) trouble: Option<StorageError>,
}

/// Probes one storage: at start until there is a result, and again after it was away.
pub(crate) struct Prober {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) layout: Layout,
    pub(crate) node: Uuid,
    /// Told by those who could not reach the storage.
    pub(crate) away: Arc<Notify>,
    pub(crate) stop: CancellationToken,
}

impl Prober {
    pub(crate) async fn run(self, view: watch::Sender<Probed>) {
        let stop = self.stop.clone();
        tokio::select! {
            () = self.probe_again_and_again(view) => {}
            () = stop.cancelled() => {}
        }
    }

    async fn probe_again_and_again(self, view: watch::Sender<Probed>) {
        let mut random = fastrand::Rng::new();
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(20));
        loop {
            let began = Instant::now();
            match probe(&*self.storage, &self.layout, self.node).await {
                Ok(fencing) => {
                    backoff.reset();
                    let before = view.borrow().fencing;
                    if before != Some(fencing) {
                        self.tell(fencing);
                    }
                    view.send_replace(Probed {
                        fencing: Some(fencing),
                        trouble: None,
                    });
                    sleep_until(began + PROBE_EVERY).await;
                    self.away.notified().await;
                }
                Err(error) => {
                    let pause = error.retry_after.unwrap_or_default().min(PROBE_EVERY);
                    view.send_modify(|probed| probed.trouble = Some(error));
                    sleep(pause + backoff.next(&mut random)).await;
                }
            }
        }
    }

    fn tell(&self, fencing: Fencing) {
        let storage = self.storage.location();
        match fencing {
            Fencing::Compare => tracing::info!(storage, %fencing, "the storage compares in writes"),
            Fencing::None => tracing::warn!(
                storage,
                %fencing,
                "the storage does not compare in writes: readers choose the newest among the history objects and need permission to list"
            ),
        }
    }
}
