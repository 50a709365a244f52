//! The documents of one version in one storage: read, judged as readers do, written and pruned.

use std::sync::Arc;

use bytes::Bytes;
use keelgate_snapshot::{
    Identity, MAX_DOCUMENT_BYTES, VerifyError, accept_unsigned, is_sealed, sealed_header,
};
use tokio::task::spawn_blocking;

use super::edition::Edition;
use super::picture::{Content, Expected, Read};
use super::release::Release;
use crate::{
    ErrorKind, Fencing, HistoryName, Layout, Object, Operation, Storage, StorageError, Verify,
    Version,
};

/// How many history objects are looked through for a good one.
const HISTORY_LOOK: usize = 8;

/// How many history objects one pruning deletes at most.
const PRUNE_AT_ONCE: usize = 32;

/// How the documents that this node writes are enveloped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Envelope {
    #[default]
    Plain,
    /// Sealed, with the key of this id once that is known.
    Sealed(Option<String>),
}

/// The documents of one version in one storage.
pub(super) struct Archive {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) layout: Layout,
    verify: Verify,
    pub(super) envelope: Envelope,
    /// What was written last: its bytes need not be verified anew when they are read back.
    released: Option<Release>,
}

impl Archive {
    pub(super) fn new(
        storage: &Arc<dyn Storage>,
        version: &str,
        verify: &Verify,
        seals: bool,
    ) -> Self {
        Self {
            storage: Arc::clone(storage),
            layout: Layout::new(version),
            verify: Arc::clone(verify),
            envelope: match seals {
                true => Envelope::Sealed(None),
                false => Envelope::Plain,
            },
            released: None,
        }
    }

    /// Reads and judges `config.json`; with its size, if it was sent.
    pub(super) async fn read(
        &self,
        known: Option<&Version>,
    ) -> Result<(Read<Version>, Option<u64>), StorageError> {
        match self.get(&self.layout.config(), known).await {
            Ok(object) => {
                let bytes = object.bytes.len() as u64;
                let content = self.judge(object.bytes).await;
                let version = object.version;
                Ok((Read::Found { version, content }, Some(bytes)))
            }
            Err(error) if error.kind == ErrorKind::NotFound => Ok((Read::Absent, None)),
            Err(error) if error.kind == ErrorKind::NotModified => Ok((Read::NotModified, None)),
            Err(error) => Err(error),
        }
    }

    async fn get(&self, key: &str, known: Option<&Version>) -> Result<Object, StorageError> {
        self.storage
            .get(key, known, MAX_DOCUMENT_BYTES as u64)
            .await
    }

    /// Verifies a document as a reader would.
    async fn judge(&self, document: Bytes) -> Content {
        if let Some(released) = &self.released
            && released.document == document
        {
            return Content::Good {
                edition: released.edition,
                fit: self.envelope.fits(&document),
            };
        }
        let (verify, envelope) = (Arc::clone(&self.verify), self.envelope.clone());
        // Hashing a large document would hold up the other tasks of the thread.
        let judged = spawn_blocking(move || judge(document, &verify, &envelope));
        judged.await.unwrap_or(Content::Unreadable)
    }

    async fn names(&self) -> Result<Vec<HistoryName>, StorageError> {
        let folder = self.layout.history_folder();
        let listed = self.storage.list(&folder).await?;
        let mut names: Vec<_> = listed
            .iter()
            .filter_map(|listed| HistoryName::parse(&listed.name))
            .collect();
        names.sort_unstable_by(|a, b| b.cmp(a));
        Ok(names)
    }

    /// The newest good history object of the cluster that is not older than `wanted`.
    pub(super) async fn newest_in_history(
        &self,
        wanted: &Identity,
    ) -> Result<Option<Edition>, StorageError> {
        let names = self.names().await?;
        let candidates = names
            .iter()
            .take_while(|name| name.position >= wanted.position())
            // Its own copy says nothing new.
            .filter(|name| !name.is_of(wanted))
            .take(HISTORY_LOOK);
        for name in candidates {
            match self.get(&self.layout.history_named(name), None).await {
                Ok(object) => {
                    if let Content::Good { edition, .. } = self.judge(object.bytes).await
                        && edition.identity.cluster_id == wanted.cluster_id
                        && name.is_of(&edition.identity)
                    {
                        return Ok(Some(edition));
                    }
                }
                Err(error) if error.kind == ErrorKind::NotFound => {}
                Err(error) if error.kind == ErrorKind::TooLarge => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Makes sure that the history has a good copy.
    pub(super) async fn keep(
        &mut self,
        wanted: &Edition,
        release: Release,
        fencing: Fencing,
    ) -> Result<(), StorageError> {
        let document = release.document.clone();
        self.released = Some(release);
        let key = self.layout.history(&wanted.identity);
        let exists = match fencing {
            Fencing::Compare => match self.storage.put_if_absent(&key, document.clone()).await {
                Ok(_) => return Ok(()),
                Err(error) if error.kind == ErrorKind::AlreadyExists => Some(error),
                Err(error) => return Err(error),
            },
            Fencing::None => None,
        };
        let found = match (self.get(&key, None).await, exists) {
            // A conflict with a concurrent request, not an object.
            (Err(error), Some(exists)) if error.kind == ErrorKind::NotFound => return Err(exists),
            (Err(error), None) if error.kind == ErrorKind::NotFound => None,
            (object, _) => Some(object?),
        };
        if let Some(found) = &found {
            if found.bytes == document {
                return Ok(());
            }
            if let Content::Good { edition, fit } = self.judge(found.bytes.clone()).await
                && (edition.created_at > wanted.created_at || (fit && edition.covers(wanted)))
            {
                return Ok(());
            }
        }
        match (fencing, found) {
            (Fencing::Compare, Some(found)) => {
                let put = self.storage.put_if_match(&key, document, &found.version);
                put.await.map(drop)
            }
            _ => self.storage.put(&key, document).await.map(drop),
        }
    }

    /// Writes `config.json`.
    pub(super) async fn write(
        &mut self,
        release: Release,
        expected: &Expected<Version>,
    ) -> Result<(), StorageError> {
        let document = release.document.clone();
        self.released = Some(release);
        self.put(document, expected).await
    }

    async fn put(&self, document: Bytes, expected: &Expected<Version>) -> Result<(), StorageError> {
        let key = self.layout.config();
        match expected {
            Expected::Absent => self.storage.put_if_absent(&key, document).await,
            Expected::Version(version) => self.storage.put_if_match(&key, document, version).await,
            Expected::Anything => self.storage.put(&key, document).await,
        }
        .map(drop)
    }

    /// Copies a history object into `config.json`, if it is still what it was found to be.
    pub(super) async fn restore(
        &self,
        found: &Edition,
        expected: &Expected<Version>,
    ) -> Result<(), StorageError> {
        let key = self.layout.history(&found.identity);
        let object = self.get(&key, None).await?;
        match self.judge(object.bytes.clone()).await {
            Content::Good { edition, .. } if edition.identity == found.identity => {
                self.put(object.bytes, expected).await
            }
            _ => Err(StorageError::new(
                self.storage.location(),
                Operation::Read,
                key,
                ErrorKind::Precondition,
                "it is not what it was",
            )),
        }
    }

    /// Deletes history objects beyond the last `keep`, none that is as new as `newest` or that
    /// `config.json` holds; says how many.
    pub(super) async fn prune(
        &self,
        keep: usize,
        newest: &Identity,
        stored: Option<&Identity>,
    ) -> Result<usize, StorageError> {
        let names = self.names().await?;
        let old = names
            .iter()
            .skip(keep)
            .filter(|name| name.position < newest.position())
            .filter(|name| !stored.is_some_and(|stored| name.is_of(stored)))
            .take(PRUNE_AT_ONCE);
        let mut deleted = 0;
        for name in old {
            self.storage
                .delete(&self.layout.history_named(name))
                .await?;
            deleted += 1;
        }
        Ok(deleted)
    }
}

fn judge(document: Bytes, verify: &Verify, envelope: &Envelope) -> Content {
    match verify(document.clone()) {
        Ok(snapshot) => Content::Good {
            edition: Edition::of(&snapshot),
            fit: envelope.fits(&document),
        },
        Err(VerifyError::SchemaTooNew { .. }) => Content::TooNew,
        Err(_) if is_sealed(&document) => match sealed_header(&document) {
            Ok(_) if *envelope == Envelope::Plain => Content::Sealed,
            Ok(header) => Content::Unverified(header.identity),
            Err(_) => Content::Unreadable,
        },
        Err(_) => match accept_unsigned(document) {
            Ok(snapshot) => Content::Unverified(*snapshot.identity()),
            Err(_) => Content::Unreadable,
        },
    }
}

impl Envelope {
    /// Whether a good document is enveloped so.
    fn fits(&self, document: &Bytes) -> bool {
        match self {
            Self::Plain => true,
            Self::Sealed(own) => sealed_header(document)
                .is_ok_and(|header| own.as_ref().is_none_or(|own| *own == header.key_id)),
        }
    }
}
