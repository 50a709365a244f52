//! What one storage allows, found out on objects of the examination's own.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use keelgate_fallback::{ErrorKind, Fencing, Layout, Storage, StorageError, Version, probe};
use keelgate_snapshot::MAX_DOCUMENT_BYTES;
use serde::Serialize;
use uuid::Uuid;

/// How often the storage is read to learn how long that takes.
const READS: usize = 5;

/// What was found.
#[derive(Debug, Default, Serialize)]
pub(super) struct Examination {
    /// What each permission was found to be, in the order in which they were tried.
    pub(super) permissions: BTreeMap<Permission, Finding>,
    /// Whether conditional writes hold; nothing when that could not be found out.
    pub(super) fencing: Option<Fencing>,
    /// Why that could not be found out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fencing_error: Option<String>,
    /// How far the storage's clock is ahead of this one; seconds.
    pub(super) clock_ahead: Option<i64>,
    /// The median of some reads; milliseconds.
    pub(super) latency_ms: Option<f64>,
}

/// What may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Permission {
    Read,
    Create,
    Replace,
    List,
    Delete,
}

impl Permission {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Create => "create",
            Self::Replace => "replace",
            Self::List => "list",
            Self::Delete => "delete",
        }
    }
}

/// Whether something may be done.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "found", content = "reason")]
pub(super) enum Finding {
    Allowed,
    Failed(String),
    /// It depends on something that failed, or the storage is read only.
    NotTried,
}

impl Finding {
    fn of<T>(answer: &Result<T, StorageError>) -> Self {
        match answer {
            Ok(_) => Self::Allowed,
            Err(error) => Self::Failed(error.to_string()),
        }
    }
}

impl Examination {
    /// Whether this may be done.
    pub(super) fn allows(&self, permission: Permission) -> bool {
        matches!(self.permissions.get(&permission), Some(Finding::Allowed))
    }

    /// Whether data planes can import from it.
    pub(super) fn serves_readers(&self) -> bool {
        self.allows(Permission::Read)
    }

    /// Whether nodes can export to it. Without leave to delete they only cannot prune.
    pub(super) fn serves_writers(&self) -> bool {
        let needed = [
            Permission::Read,
            Permission::Create,
            Permission::Replace,
            Permission::List,
        ];
        needed.into_iter().all(|needed| {
            // A storage without conditional writes has nothing to replace with; it is overwritten.
            let excused = needed == Permission::Replace && self.fencing == Some(Fencing::None);
            excused || self.allows(needed)
        })
    }
}

/// Examines a storage. The objects that it makes for that lie where elections are held, and are
/// deleted at the end.
pub(super) async fn examine(storage: &dyn Storage, layout: &Layout) -> Examination {
    let mut found = Examination::default();
    let config = layout.config();
    let read = storage.get(&config, None, MAX_DOCUMENT_BYTES as u64).await;
    let absent = matches!(&read, Err(error) if error.kind == ErrorKind::NotFound);
    let reading = match absent {
        true => Finding::Allowed,
        false => Finding::of(&read),
    };
    found.permissions.insert(Permission::Read, reading);
    let node = Uuid::new_v4();
    let key = layout.registration(node);
    let created = match storage.writable() {
        true => Some(create(storage, &key).await),
        false => None,
    };
    match &created {
        Some(Ok(version)) => {
            found
                .permissions
                .insert(Permission::Create, Finding::Allowed);
            // Without leave to list, S3 denies what is absent: an object that is there tells.
            let read = storage.get(&key, None, MAX_DOCUMENT_BYTES as u64).await;
            found
                .permissions
                .insert(Permission::Read, Finding::of(&read));
            write_more(storage, layout, node, version, &mut found).await;
        }
        Some(Err(error)) => {
            let refused = Finding::Failed(error.to_string());
            found.permissions.insert(Permission::Create, refused);
        }
        None => {}
    }
    if let Entry::Vacant(list) = found.permissions.entry(Permission::List) {
        let listed = storage.list(&layout.history_folder()).await;
        list.insert(Finding::of(&listed));
    }
    // A large configuration is not sent again for that: it has not changed.
    let known = read.ok().map(|object| object.version);
    found.latency_ms = latency(storage, &config, known.as_ref()).await;
    if matches!(created, Some(Ok(_))) {
        let deleted = storage.delete(&key).await;
        found
            .permissions
            .insert(Permission::Delete, Finding::of(&deleted));
    }
    for rest in [Permission::Create, Permission::Replace, Permission::Delete] {
        found.permissions.entry(rest).or_insert(Finding::NotTried);
    }
    found
}

/// Creates an object; on a storage that cannot compare, whatever is there.
async fn create(storage: &dyn Storage, key: &str) -> Result<Version, StorageError> {
    match storage.put_if_absent(key, probe_object(1)).await {
        Err(error) if error.kind == ErrorKind::Unsupported => {
            storage.put(key, probe_object(1)).await
        }
        created => created,
    }
}

/// What can be tried once an object could be created.
async fn write_more(
    storage: &dyn Storage,
    layout: &Layout,
    node: Uuid,
    version: &Version,
    found: &mut Examination,
) {
    let key = layout.registration(node);
    let before = SystemTime::now();
    let replaced = storage.put_if_match(&key, probe_object(2), version).await;
    let written = before + before.elapsed().unwrap_or_default() / 2;
    let replacing = Finding::of(&replaced);
    found.permissions.insert(Permission::Replace, replacing);
    match probe(storage, layout, node).await {
        Ok(fencing) => found.fencing = Some(fencing),
        Err(error) => found.fencing_error = Some(error.to_string()),
    }
    let listed = storage.list(&layout.election_folder()).await;
    let listing = Finding::of(&listed);
    found.permissions.insert(Permission::List, listing);
    let own = node.to_string();
    let modified = listed.ok().and_then(|objects| {
        let own = objects.into_iter().find(|object| object.name == own)?;
        own.modified
    });
    if let (Some(modified), Ok(_)) = (modified, &replaced) {
        found.clock_ahead = Some(seconds_between(written, modified));
    }
}

/// How far `b` is ahead of `a`, in seconds. Storages tell whole seconds, so less than one is none.
fn seconds_between(a: SystemTime, b: SystemTime) -> i64 {
    let whole = |span: Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
    match b.duration_since(a) {
        Ok(ahead) => whole(ahead),
        Err(behind) => -whole(behind.duration()),
    }
}

async fn latency(storage: &dyn Storage, key: &str, known: Option<&Version>) -> Option<f64> {
    let mut times = Vec::with_capacity(READS);
    for _ in 0..READS {
        let start = Instant::now();
        match storage.get(key, known, MAX_DOCUMENT_BYTES as u64).await {
            Ok(_) => {}
            // That there is nothing, or nothing new, takes as long to say.
            Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::NotModified) => {}
            Err(_) => return None,
        }
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Some((times[READS / 2].as_secs_f64() * 1e5).round() / 100.0)
}

fn probe_object(turn: u8) -> Bytes {
    Bytes::from(format!("{{\"doctor\":{turn}}}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_differ_by_less_than_a_second_are_right() {
        let now = SystemTime::now();
        assert_eq!(seconds_between(now, now - Duration::from_millis(900)), 0);
        assert_eq!(seconds_between(now, now + Duration::from_secs(7)), 7);
        assert_eq!(seconds_between(now, now - Duration::from_secs(7)), -7);
    }

    #[test]
    fn a_writer_needs_four_permissions_and_may_lack_the_fifth() {
        let mut found = Examination::default();
        for permission in [
            Permission::Read,
            Permission::Create,
            Permission::Replace,
            Permission::List,
        ] {
            assert!(!found.serves_writers());
            found.permissions.insert(permission, Finding::Allowed);
        }
        assert!(found.serves_writers() && found.serves_readers());
    }
}
