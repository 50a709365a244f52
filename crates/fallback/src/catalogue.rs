//! What lies in a storage, for operators: names first, documents on demand.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::time::SystemTime;

use bytes::Bytes;
use keelgate_snapshot::{
    Identity, MAX_DOCUMENT_BYTES, Snapshot, accept_unsigned, is_sealed, sealed_header,
};
use tokio::task::spawn_blocking;
use uuid::Uuid;

use crate::layout::{major, numbers};
use crate::{
    ErrorKind, Fencing, HistoryName, Index, Layout, Lease, Listed, Refusal, RefusalReason,
    Registration, Storage, StorageError, Verify, index,
};

/// Largest lease or registering file that is read.
const SMALL: u64 = 4096;

/// The objects of one storage, by version of the software that wrote them.
#[derive(Clone, Debug)]
pub struct Catalogue {
    /// The location of the storage.
    pub storage: String,
    /// Highest version first.
    pub versions: Vec<VersionEntry>,
}

/// The objects of one version.
#[derive(Clone, Debug)]
pub struct VersionEntry {
    /// The version, which is the name of its folder.
    pub version: String,
    /// What its leader found the storage to do, if the index says that.
    pub fencing: Option<Fencing>,
    /// `config.json`.
    pub config: Option<Entry>,
    /// The history, newest first.
    pub history: Vec<Entry>,
    /// The leader's lease.
    pub lease: Option<Lease>,
    /// The nodes that would publish.
    pub registrations: Vec<Registered>,
}

impl VersionEntry {
    /// Whether nothing is left of it but what the index says.
    pub fn is_gone(&self) -> bool {
        self.fencing.is_some()
            && self.config.is_none()
            && self.history.is_empty()
            && self.lease.is_none()
            && self.registrations.is_empty()
    }
}

/// A registering file.
#[derive(Clone, Debug)]
pub struct Registered {
    /// The node.
    pub node_id: Uuid,
    /// When it last registered, by the storage's clock.
    pub modified: Option<SystemTime>,
    /// What it says of itself, if that can be read.
    pub registration: Option<Registration>,
}

/// A document of a storage.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its key, which [`Storage::get`] takes.
    pub key: String,
    /// What its name tells; nothing for `config.json`.
    pub name: Option<HistoryName>,
    /// Its size, once listed or read.
    pub bytes: Option<u64>,
    /// When it was written, by the storage's clock.
    pub modified: Option<SystemTime>,
    /// What was found in it; nothing before [`Entry::examine`].
    pub found: Option<Examined>,
}

/// What a document was found to be.
#[derive(Clone, Debug)]
pub struct Examined {
    /// Whether readers would believe it, and why not.
    pub verified: Result<(), Refusal>,
    /// Whether it is sealed.
    pub sealed: bool,
    /// What it is, or only claims to be where it is not verified.
    pub identity: Option<Identity>,
    /// When it was made, or claims to have been.
    pub created_at: Option<SystemTime>,
    /// Version of the software that made it, or is claimed to have.
    pub writer: Option<String>,
}

/// Lists what lies in `storage`, without reading documents: those of `version`, or of every version.
///
/// Where this node may not list, it shows what the index and the keys themselves tell.
///
/// # Errors
///
/// When the storage cannot be read at all.
pub async fn catalogue(
    storage: &dyn Storage,
    version: Option<&str>,
) -> Result<Catalogue, StorageError> {
    let index = match index::read(storage, None).await {
        Ok(found) => found.index.unwrap_or_default(),
        Err(error) if matches!(error.kind, ErrorKind::Denied | ErrorKind::TooLarge) => {
            Index::default()
        }
        Err(error) => return Err(error),
    };
    let mut names: BTreeSet<String> = index.versions.keys().cloned().collect();
    match version {
        Some(version) => names = BTreeSet::from([version.to_owned()]),
        None => match storage.folders().await {
            Ok(folders) => names.extend(folders.into_iter().filter(|name| major(name).is_some())),
            Err(error) if cannot_list(&error) => {}
            Err(error) => return Err(error),
        },
    }
    let mut versions = Vec::with_capacity(names.len());
    for name in names {
        let fencing = index.versions.get(&name).map(|entry| entry.fencing);
        versions.push(version_entry(storage, name, fencing).await?);
    }
    versions.sort_by_cached_key(|entry| Reverse(numbers(&entry.version)));
    Ok(Catalogue {
        storage: storage.location().to_owned(),
        versions,
    })
}

fn cannot_list(error: &StorageError) -> bool {
    matches!(error.kind, ErrorKind::Denied | ErrorKind::Unsupported)
}

/// The objects of a folder; none where this node may not list.
async fn list(storage: &dyn Storage, folder: &str) -> Result<Option<Vec<Listed>>, StorageError> {
    match storage.list(folder).await {
        Ok(listed) => Ok(Some(listed)),
        Err(error) if cannot_list(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn version_entry(
    storage: &dyn Storage,
    version: String,
    fencing: Option<Fencing>,
) -> Result<VersionEntry, StorageError> {
    let layout = Layout::new(&version);
    let key = layout.config();
    let config = match list(storage, &version).await? {
        Some(listed) => listed
            .iter()
            .find(|listed| key.ends_with(&format!("/{}", listed.name)))
            .map(|listed| Entry::listed(key.clone(), None, listed)),
        None => Some(Entry::of(key.clone())),
    };
    let mut history: Vec<_> = list(storage, &layout.history_folder())
        .await?
        .unwrap_or_default()
        .iter()
        .filter_map(|listed| {
            let name = HistoryName::parse(&listed.name)?;
            Some(Entry::listed(
                layout.history_named(&name),
                Some(name),
                listed,
            ))
        })
        .collect();
    history.sort_by(|a, b| b.name.cmp(&a.name));
    let lease = small(storage, &layout.lease()).await?;
    let mut registrations = Vec::new();
    let nodes = list(storage, &layout.election_folder()).await?;
    for listed in nodes.unwrap_or_default() {
        if let Ok(node_id) = Uuid::try_parse(&listed.name) {
            registrations.push(Registered {
                node_id,
                modified: listed.modified,
                registration: small(storage, &layout.registration(node_id)).await?,
            });
        }
    }
    Ok(VersionEntry {
        version,
        fencing,
        config,
        history,
        lease,
        registrations,
    })
}

/// A small JSON object; nothing if it is missing, may not be read, or is something else.
async fn small<T: serde::de::DeserializeOwned>(
    storage: &dyn Storage,
    key: &str,
) -> Result<Option<T>, StorageError> {
    match storage.get(key, None, SMALL).await {
        Ok(object) => Ok(serde_json::from_slice(&object.bytes).ok()),
        Err(error) => match error.kind {
            ErrorKind::NotFound | ErrorKind::Denied | ErrorKind::TooLarge => Ok(None),
            _ => Err(error),
        },
    }
}

impl Entry {
    /// A document of which nothing but the key is known.
    pub fn of(key: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            name: None,
            bytes: None,
            modified: None,
            found: None,
        }
    }

    fn listed(key: String, name: Option<HistoryName>, listed: &Listed) -> Self {
        Self {
            name,
            bytes: Some(listed.bytes),
            modified: listed.modified,
            ..Self::of(key)
        }
    }

    /// Reads and verifies the document; notes in the entry what was found and returns it if it is
    /// good.
    pub async fn examine(&mut self, storage: &dyn Storage, verify: &Verify) -> Option<Snapshot> {
        let refusal = |reason| Refusal {
            storage: storage.location().to_owned(),
            key: self.key.clone(),
            reason,
        };
        let read = storage
            .get(&self.key, None, MAX_DOCUMENT_BYTES as u64)
            .await;
        let document = match read {
            Ok(object) => object.bytes,
            Err(error) => {
                self.found = Some(Examined::refused(refusal(RefusalReason::Storage(error))));
                return None;
            }
        };
        self.bytes = Some(document.len() as u64);
        let verify = verify.clone();
        let judged = spawn_blocking(move || {
            let verified = verify(document.clone());
            let claims = Claims::of(verified.as_ref().ok(), document);
            (verified, claims)
        });
        let (snapshot, verified, claims) = match judged.await {
            Ok((Ok(snapshot), claims)) => (Some(snapshot), Ok(()), claims),
            Ok((Err(error), claims)) => {
                let reason = RefusalReason::Verify(std::sync::Arc::new(error));
                (None, Err(refusal(reason)), claims)
            }
            Err(_) => {
                self.found = Some(Examined::refused(refusal(RefusalReason::Stopped)));
                return None;
            }
        };
        self.found = Some(Examined {
            verified,
            sealed: claims.sealed,
            identity: claims.identity,
            created_at: claims.created_at,
            writer: claims.writer,
        });
        snapshot
    }
}

impl Examined {
    fn refused(refusal: Refusal) -> Self {
        Self {
            verified: Err(refusal),
            sealed: false,
            identity: None,
            created_at: None,
            writer: None,
        }
    }
}

/// What a document says of itself, verified or not.
#[derive(Default)]
struct Claims {
    sealed: bool,
    identity: Option<Identity>,
    created_at: Option<SystemTime>,
    writer: Option<String>,
}

impl Claims {
    fn of(verified: Option<&Snapshot>, document: Bytes) -> Self {
        let sealed = is_sealed(&document);
        if verified.is_none()
            && sealed
            && let Ok(header) = sealed_header(&document)
        {
            return Self {
                sealed,
                identity: Some(header.identity),
                created_at: Some(header.created_at),
                writer: Some(header.version),
            };
        }
        let claimed = match verified {
            Some(snapshot) => Some(snapshot.clone()),
            None => accept_unsigned(document).ok(),
        };
        Self {
            sealed,
            identity: claimed.as_ref().map(|snapshot| *snapshot.identity()),
            created_at: claimed.as_ref().map(Snapshot::created_at),
            writer: claimed.map(|snapshot| snapshot.version().to_owned()),
        }
    }
}
