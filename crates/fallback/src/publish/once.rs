//! Publishing and pruning by hand: the same machine, without an election, until it is done.

use std::sync::Arc;
use std::time::Duration;

use keelgate_snapshot::{Identity, Snapshot};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::archive::Archive;
use super::lane::{Attempt, Lane};
use super::machine::{Action, Machine, Standing};
use super::picture::{Content, Read};
use super::release::{Prepare, Releases};
use super::status::PublisherStatus;
use super::{Blocked, PublisherSettings};
use crate::election::Leadership;
use crate::probe::Probed;
use crate::{
    Backoff, ErrorKind, Fencing, Layout, Storage, StorageError, Verify, Version, VersionEntry,
    catalogue, index, probe,
};

/// A round deletes a few dozen objects at most.
const PRUNE_ROUNDS: usize = 400;

/// How often the index is written anew before others are left to it.
const FORGET_ATTEMPTS: u32 = 5;

/// A publication by hand that was read back and verified.
#[derive(Clone, Debug)]
pub struct Published {
    /// What `config.json` holds now.
    pub identity: Identity,
    /// Size of the object.
    pub bytes: u64,
    /// How the storage was protected meanwhile.
    pub fencing: Fencing,
    /// Whether anything was written; otherwise the storage held it already.
    pub written: bool,
}

/// Why a publication by hand came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The storage is for readers alone.
    #[error("{storage}: it cannot be written; publish into another storage")]
    ReadOnly {
        /// Location of the storage.
        storage: String,
    },
    /// Writing would be wrong.
    #[error("{storage}: {blocked}")]
    Blocked {
        /// Location of the storage.
        storage: String,
        /// Why.
        blocked: Blocked,
    },
    /// No data plane could use the snapshot.
    #[error("{0}")]
    Unfit(String),
    /// The storage refused, or did not work in time.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Nothing failed, but there was no end either.
    #[error("{storage}: not done after {patience:?}: others write there as well, or it is slow")]
    Patience {
        /// Location of the storage.
        storage: String,
        /// How long it was tried.
        patience: Duration,
    },
}

/// Why nothing was pruned, or not everything.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// What is served is not known, hence not what may go.
    #[error(
        "{storage}: {key} is missing or not good, so that the history may be all there is: publish first"
    )]
    NothingServed {
        /// Location of the storage.
        storage: String,
        /// Key of `config.json`.
        key: String,
    },
    /// The storage refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Publishes one snapshot into one storage: probes it, writes history and `config.json`, reads back
/// and verifies. No lease is taken: safety needs none. Failures are retried for `patience`.
///
/// # Errors
///
/// [`PublishError`]; `config.json` may have been written nevertheless where an answer was lost.
pub async fn publish_once(
    storage: &Arc<dyn Storage>,
    settings: &PublisherSettings,
    verify: &Verify,
    prepare: Option<&Prepare>,
    snapshot: Snapshot,
    patience: Duration,
) -> Result<Published, PublishError> {
    let location = storage.location();
    if !storage.writable() {
        return Err(PublishError::ReadOnly {
            storage: location.to_owned(),
        });
    }
    let deadline = Instant::now() + patience;
    let fencing = probe_until(storage, settings, deadline).await?;
    let releases = Arc::new(Releases::new(
        prepare.cloned(),
        settings.seal.clone(),
        Arc::clone(verify),
    ));
    let (_snapshots, snapshots) = watch::channel(Some(snapshot));
    let (_leadership, leadership) = watch::channel(Leadership {
        leads: true,
        ..Leadership::default()
    });
    let (_probed, probed) = watch::channel(Probed {
        fencing: Some(fencing),
        trouble: None,
    });
    let (status, watched) = watch::channel(PublisherStatus::new(location));
    let mut lane = Lane {
        archive: Archive::new(storage, &settings.version, verify, settings.seal.is_some()),
        releases,
        history: settings.history.max(1),
        machine: Machine::new(settings.pace, fastrand::u64(..)),
        start: Instant::now(),
        snapshots,
        leadership,
        probed,
        away: Arc::new(Notify::new()),
        current: None,
        attempt: Attempt::default(),
        status,
        stop: CancellationToken::new(),
    };
    lane.hear_everything();
    let mut last = None;
    let finished = timeout_at(deadline, finish(&mut lane, &mut last)).await;
    let status = watched.borrow().clone();
    match finished {
        Ok(Ok(Standing::Stored(identity))) => Ok(Published {
            identity,
            bytes: status.bytes.unwrap_or_default(),
            fencing,
            written: status.last_attempt.is_some(),
        }),
        Ok(Ok(Standing::Blocked(blocked))) => Err(PublishError::Blocked {
            storage: location.to_owned(),
            blocked,
        }),
        Ok(Ok(_)) => Err(PublishError::Unfit(
            status
                .last_error
                .map(|trouble| trouble.message)
                .unwrap_or_default(),
        )),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(last.map_or_else(
            || PublishError::Patience {
                storage: location.to_owned(),
                patience,
            },
            PublishError::Storage,
        )),
    }
}

/// Drives a lane until it rests.
async fn finish(
    lane: &mut Lane,
    last: &mut Option<StorageError>,
) -> Result<Standing, StorageError> {
    loop {
        match lane.next().await {
            Action::Wait(until) => match (lane.machine.standing(), until) {
                (Standing::Working | Standing::Checking, Some(until)) => {
                    sleep_until(lane.start + until).await;
                }
                (standing, _) => return Ok(standing),
            },
            action => {
                if let Err(error) = lane.perform(action).await {
                    lane.fail(&error);
                    if error.is_definite() {
                        return Err(error);
                    }
                    *last = Some(error);
                }
            }
        }
    }
}

async fn probe_until(
    storage: &Arc<dyn Storage>,
    settings: &PublisherSettings,
    deadline: Instant,
) -> Result<Fencing, StorageError> {
    let layout = Layout::new(&settings.version);
    let mut backoff = Backoff::new(settings.pace.retry_base, settings.pace.retry_cap);
    let mut random = fastrand::Rng::new();
    loop {
        match probe(&**storage, &layout, settings.node_id).await {
            Ok(fencing) => return Ok(fencing),
            Err(error) if error.is_definite() || Instant::now() >= deadline => return Err(error),
            Err(error) => {
                let pause = error.retry_after.unwrap_or_default() + backoff.next(&mut random);
                if Instant::now() + pause >= deadline {
                    return Err(error);
                }
                sleep(pause).await;
            }
        }
    }
}

/// Deletes the history of `version` beyond the last `keep` objects, never what `config.json` holds
/// nor anything newer; says how many objects went.
///
/// # Errors
///
/// [`PruneError`]; some objects may be gone.
pub async fn prune(
    storage: &Arc<dyn Storage>,
    version: &str,
    verify: &Verify,
    keep: usize,
) -> Result<usize, PruneError> {
    let archive = Archive::new(storage, version, verify, false);
    let served = match archive.read(None::<&Version>).await?.0 {
        Read::Found {
            content: Content::Good { edition, .. },
            ..
        } => edition.identity,
        _ => {
            return Err(PruneError::NothingServed {
                storage: storage.location().to_owned(),
                key: archive.layout.config(),
            });
        }
    };
    let mut deleted = 0;
    // A list that lags shows for a while what is gone: the number of rounds is bounded.
    for _ in 0..PRUNE_ROUNDS {
        match archive.prune(keep.max(1), &served, Some(&served)).await? {
            0 => break,
            more => deleted += more,
        }
    }
    Ok(deleted)
}

/// Takes the versions of which nothing is left out of the index; says which. Where others write the
/// index meanwhile, it is read again.
///
/// # Errors
///
/// When the storage refuses, or others write the index all the time.
pub async fn forget(storage: &dyn Storage) -> Result<Vec<String>, StorageError> {
    let mut left = FORGET_ATTEMPTS;
    loop {
        // Read before it is seen what is left, so that who has written the index since wins.
        let found = index::read(storage, None).await?;
        let versions = catalogue(storage, None).await?.versions.into_iter();
        let gone: Vec<_> = versions
            .filter(VersionEntry::is_gone)
            .map(|entry| entry.version)
            .collect();
        match index::remove(storage, found, &gone).await {
            Err(error) if error.kind == ErrorKind::Precondition && left > 1 => left -= 1,
            result => return result.map(|()| gone),
        }
    }
}
