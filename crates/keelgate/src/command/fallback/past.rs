//! What was published until now, as far as the storages tell: what a publication past the control
//! plane must be newer than.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};
use keelgate_fallback::{Entry, Storage, VersionEntry};
use keelgate_snapshot::{Identity, Position, Snapshot};
use uuid::Uuid;

use super::access::Access;
use super::{locate, output};

/// What the storages hold.
#[derive(Default)]
pub(crate) struct Past {
    /// The newest good snapshot of all storages and versions.
    pub(crate) newest: Option<Snapshot>,
    /// Storages that could not be read, and why: they may hold something newer.
    pub(crate) unread: Vec<String>,
    /// What is refused by data planes, and why: nothing is built on it, and it may stand in the way.
    refused: Vec<String>,
    /// The versions of the software that have written.
    pub(crate) versions: BTreeSet<String>,
}

impl Past {
    /// Reads every storage. Only what verifies counts: nobody can drive epochs up by a forged claim.
    ///
    /// # Errors
    ///
    /// When snapshots of several clusters lie there and `cluster_id` does not say which is meant.
    pub(crate) async fn read(access: &Access, cluster_id: Option<Uuid>) -> Result<Self> {
        let mut past = Self::default();
        let mut good = Vec::new();
        for (storage, listed) in locate::catalogues(access).await {
            let bar = output::progress(format!("reading {}", storage.location()));
            match listed {
                Err(error) => past.unread.push(format!("{error:#}")),
                Ok(catalogue) => {
                    for version in catalogue.versions {
                        past.versions.insert(version.version.clone());
                        let refused = &mut past.refused;
                        good.extend(newest_of(access, storage.as_ref(), version, refused).await);
                    }
                }
            }
            bar.finish_and_clear();
        }
        if let Some(cluster_id) = cluster_id {
            good.retain(|snapshot| snapshot.identity().cluster_id == cluster_id);
        }
        let clusters: BTreeSet<Uuid> = good.iter().map(|s| s.identity().cluster_id).collect();
        if clusters.len() > 1 {
            let clusters: Vec<String> = clusters.iter().map(Uuid::to_string).collect();
            bail!(
                "snapshots of several clusters lie there ({}): give every cluster a prefix of its own, or say which is meant with --cluster-id",
                clusters.join(", ")
            );
        }
        past.newest = good.into_iter().max_by_key(|s| s.identity().position());
        Ok(past)
    }

    /// What is not sure about it.
    pub(crate) fn doubts(&self) -> impl Iterator<Item = String> {
        let unread = self.unread.iter();
        let refused = self.refused.iter();
        unread
            .map(|reason| format!("not read, and it may hold something newer: {reason}"))
            .chain(refused.map(|reason| format!("nothing is built on this: {reason}")))
    }

    /// Which snapshot it is that comes next. Below a control plane of Kong, which counts no epochs,
    /// it is one of the present moment: what Kong sends after its return is newer by itself.
    pub(super) fn next(&self, cluster_id: Uuid, now: SystemTime) -> Position {
        next(
            cluster_id,
            self.newest.as_ref().map(Snapshot::identity),
            now,
        )
    }
}

fn next(cluster_id: Uuid, newest: Option<&Identity>, now: SystemTime) -> Position {
    let (epoch, revision) = match newest {
        None => (1, 1),
        Some(newest) if newest.epoch == 0 => {
            let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
            let now = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
            (0, newest.revision.saturating_add(1).max(now))
        }
        Some(newest) => (newest.epoch.saturating_add(1), 1),
    };
    Position {
        cluster_id,
        epoch,
        revision,
    }
}

/// The newest good snapshot of one version: of `config.json` and of the history that is newer.
async fn newest_of(
    access: &Access,
    storage: &dyn Storage,
    version: VersionEntry,
    refused: &mut Vec<String>,
) -> Option<Snapshot> {
    let mut newest = None;
    if let Some(mut config) = version.config {
        newest = config.examine(storage, &access.verify).await;
        let refusal = config.found.and_then(|found| found.verified.err());
        refused.extend(refusal.map(|refusal| refusal.to_string()));
    }
    for mut entry in version.history {
        let is_newer = |entry: &Entry, newest: &Snapshot| {
            let name = entry.name.as_ref();
            name.is_some_and(|name| name.position > newest.identity().position())
        };
        if newest
            .as_ref()
            .is_some_and(|newest| !is_newer(&entry, newest))
        {
            break;
        }
        if let Some(found) = entry.examine(storage, &access.verify).await {
            newest = Some(found);
            break;
        }
    }
    newest
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use keelgate_snapshot::Digest;

    use super::*;

    fn after(epoch: u64, revision: u64, now: u64) -> (u64, u64) {
        let newest = Identity {
            cluster_id: Uuid::nil(),
            epoch,
            revision,
            sha256: Digest([0; 32]),
        };
        let now = UNIX_EPOCH + Duration::from_millis(now);
        let next = next(Uuid::nil(), Some(&newest), now);
        (next.epoch, next.revision)
    }

    #[test]
    fn the_next_snapshot_begins_an_epoch() {
        assert_eq!(after(3, 40, 1000), (4, 1));
    }

    #[test]
    fn below_kong_it_is_one_of_now_and_always_newer() {
        assert_eq!(after(0, 500, 1000), (0, 1000));
        assert_eq!(after(0, 2000, 1000), (0, 2001));
    }
}
