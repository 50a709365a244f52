//! The disk cache: the last two good documents of this node.
//!
//! A file holds the same envelope as the wire and the storage, so that what a build writes, later
//! ones read. With sealing keys it is sealed; plain files of before are read, and replaced by
//! sealed ones as soon as something serves.
//!
//! The cache takes at most the space of three documents (two that are kept, and one that is being
//! written), each of at most [`MAX_DOCUMENT_BYTES`].

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use keelgate_fallback::Verify;
use keelgate_snapshot::{
    BuildError, Identity, MAX_DOCUMENT_BYTES, SealError, SealingKeys, Snapshot, VerifyError,
    envelop,
};

use crate::durable;

const CURRENT: &str = "current.json";
const PREVIOUS: &str = "previous.json";

/// A cached document that cannot be used or kept.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The disk refused.
    #[error("{path}: {error}; check the permissions and the space of the node's prefix")]
    Disk {
        /// The file.
        path: String,
        /// What the system says.
        error: io::Error,
    },
    /// The document is damaged or not trusted.
    #[error("{path} is refused: {error}")]
    Refused {
        /// The file.
        path: String,
        /// Which check failed.
        error: VerifyError,
    },
    /// A document cannot be written in the cache's form.
    #[error("{path} cannot be made: {error}")]
    Envelope {
        /// The file.
        path: String,
        /// Why not.
        error: BuildError,
    },
    /// A document cannot be sealed.
    #[error("{path} cannot be sealed: {error}")]
    Seal {
        /// The file.
        path: String,
        /// Why not.
        error: SealError,
    },
}

/// What the cache held.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    /// Good documents, newest first.
    pub(crate) good: Vec<Snapshot>,
    /// Why others were not used.
    pub(crate) refused: Vec<CacheError>,
}

/// What of a stored document decides whether it is to be written again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stored {
    identity: Identity,
    stated_at: SystemTime,
}

impl Stored {
    fn of(snapshot: &Snapshot) -> Self {
        Self {
            identity: *snapshot.identity(),
            stated_at: snapshot.created_at(),
        }
    }
}

/// The cache in one directory.
#[derive(Debug)]
pub(crate) struct Cache {
    directory: PathBuf,
    keys: Option<Arc<SealingKeys>>,
    current: Option<Stored>,
    /// Good documents that are not sealed with the key that seals now.
    to_seal: Vec<(&'static str, Snapshot)>,
}

impl Cache {
    pub(crate) fn new(directory: PathBuf, keys: Option<Arc<SealingKeys>>) -> Self {
        Self {
            directory,
            keys,
            current: None,
            to_seal: Vec::new(),
        }
    }

    /// Reads and verifies what is there; nothing that is there is no error.
    pub(crate) fn load(&mut self, verify: &Verify) -> Loaded {
        let mut loaded = Loaded::default();
        self.clear_partials();
        for name in [CURRENT, PREVIOUS] {
            match self.read(name, verify) {
                Ok(Some((snapshot, sealed))) => {
                    if name == CURRENT {
                        self.current = Some(Stored::of(&snapshot));
                    }
                    if !sealed {
                        self.to_seal.push((name, snapshot.clone()));
                    }
                    loaded.good.push(snapshot);
                }
                Ok(None) => {}
                Err(error) => loaded.refused.push(error),
            }
        }
        loaded
    }

    /// What a former life did not finish writing takes space and is of no use.
    fn clear_partials(&self) {
        for name in [CURRENT, PREVIOUS] {
            // It may stay: the next write goes over it.
            let _ = durable::remove_partial(&self.directory.join(name));
        }
    }

    /// The document of a file, and whether it is sealed as this node would seal it.
    fn read(&self, name: &str, verify: &Verify) -> Result<Option<(Snapshot, bool)>, CacheError> {
        let file = match File::open(self.directory.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(|error| self.disk(name, error))?,
        };
        let refused = |error| CacheError::Refused {
            path: self.path(name),
            error,
        };
        let limit = MAX_DOCUMENT_BYTES;
        let length = file
            .metadata()
            .map_err(|error| self.disk(name, error))?
            .len();
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > limit {
            let bytes = length;
            return Err(refused(VerifyError::TooLarge { bytes, limit }));
        }
        let mut bytes = Vec::with_capacity(length);
        // Whatever happens to the file meanwhile.
        file.take(limit as u64)
            .read_to_end(&mut bytes)
            .map_err(|error| self.disk(name, error))?;
        let sealed = (self.keys.as_ref()).is_none_or(|keys| keys.is_current(&bytes));
        let snapshot = verify(bytes.into()).map_err(refused)?;
        Ok(Some((snapshot, sealed)))
    }

    /// Seals what lies there in another form.
    pub(crate) fn seal_all(&mut self) -> Result<(), CacheError> {
        while let Some((name, snapshot)) = self.to_seal.last() {
            let bytes = self.form(name, snapshot)?;
            durable::replace(&self.directory.join(name), &bytes)
                .map_err(|error| self.disk(name, error))?;
            self.to_seal.pop();
        }
        Ok(())
    }

    /// Keeps a document; what was current becomes previous, unless it is the same snapshot, stated
    /// earlier.
    ///
    /// A crash at any moment leaves at least one whole document, if there was one.
    pub(crate) fn store(&mut self, snapshot: &Snapshot) -> Result<(), CacheError> {
        let new = Stored::of(snapshot);
        if self.current == Some(new) {
            return Ok(());
        }
        let bytes = self.form(CURRENT, snapshot)?;
        // A current document that was refused must not push out a good previous one.
        let turns = (self.current).is_some_and(|current| current.identity != new.identity);
        self.write(&bytes, turns)
            .map_err(|error| self.disk(CURRENT, error))?;
        if turns {
            self.to_seal.retain(|(name, _)| *name == CURRENT);
            self.to_seal
                .iter_mut()
                .for_each(|(name, _)| *name = PREVIOUS);
        } else {
            self.to_seal.retain(|(name, _)| *name != CURRENT);
        }
        self.current = Some(new);
        Ok(())
    }

    /// Puts bytes in the current document's place; where it `turns`, that becomes the previous one.
    fn write(&self, bytes: &[u8], turns: bool) -> io::Result<()> {
        let path = self.directory.join(CURRENT);
        durable::make_directory(&self.directory)?;
        let partial = durable::write_beside(&path, bytes)?;
        if turns {
            match fs::rename(&path, self.directory.join(PREVIOUS)) {
                // Somebody has cleared the cache: there is nothing to keep.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                renamed => renamed?,
            }
        }
        fs::rename(partial, &path)?;
        durable::sync_directory_of(&path)
    }

    /// The bytes of a file: what Kong sent has no digest of its own and gets one.
    fn form(&self, name: &str, snapshot: &Snapshot) -> Result<Bytes, CacheError> {
        let enveloped = match snapshot.is_signed() {
            true => snapshot.clone(),
            false => envelop(snapshot).map_err(|error| CacheError::Envelope {
                path: self.path(name),
                error,
            })?,
        };
        match &self.keys {
            Some(keys) => keys.seal(&enveloped).map_err(|error| CacheError::Seal {
                path: self.path(name),
                error,
            }),
            None => Ok(enveloped.document().clone()),
        }
    }

    fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    fn disk(&self, name: &str, error: io::Error) -> CacheError {
        CacheError::Disk {
            path: self.path(name),
            error,
        }
    }
}

#[cfg(test)]
mod tests;
