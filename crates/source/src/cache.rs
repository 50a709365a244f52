//! The disk cache: the last two good documents of this node.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::PathBuf;

use keelgate_fallback::Verify;
use keelgate_snapshot::{Identity, MAX_DOCUMENT_BYTES, Snapshot, VerifyError};

use crate::durable;

const CURRENT: &str = "current.json";
const PREVIOUS: &str = "previous.json";

/// A cached document that cannot be used.
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
}

/// What the cache held.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    /// Good documents, newest first.
    pub(crate) good: Vec<Snapshot>,
    /// Why others were not used.
    pub(crate) refused: Vec<CacheError>,
}

/// The cache in one directory: at most two documents and one that is being written.
#[derive(Debug)]
pub(crate) struct Cache {
    directory: PathBuf,
    current: Option<Identity>,
}

impl Cache {
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            current: None,
        }
    }

    /// Reads and verifies what is there; nothing that is there is no error.
    pub(crate) fn load(&mut self, verify: &Verify) -> Loaded {
        let mut loaded = Loaded::default();
        for name in [CURRENT, PREVIOUS] {
            match self.read(name, verify) {
                Ok(Some(snapshot)) => {
                    if name == CURRENT {
                        self.current = Some(*snapshot.identity());
                    }
                    loaded.good.push(snapshot);
                }
                Ok(None) => {}
                Err(error) => loaded.refused.push(error),
            }
        }
        loaded
    }

    fn read(&self, name: &str, verify: &Verify) -> Result<Option<Snapshot>, CacheError> {
        let path = self.directory.join(name);
        let disk = |error| CacheError::Disk {
            path: path.display().to_string(),
            error,
        };
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(disk)?,
        };
        let mut bytes = Vec::new();
        // One byte over the limit is enough for the verifier to see that it is too large.
        file.take(MAX_DOCUMENT_BYTES as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(disk)?;
        verify(bytes.into())
            .map(Some)
            .map_err(|error| CacheError::Refused {
                path: path.display().to_string(),
                error,
            })
    }

    /// Keeps a document; what was current becomes previous.
    ///
    /// A crash at any moment leaves at least one whole document, if there was one.
    pub(crate) fn store(&mut self, snapshot: &Snapshot) -> Result<(), CacheError> {
        if self.current.as_ref() == Some(snapshot.identity()) {
            return Ok(());
        }
        let path = self.directory.join(CURRENT);
        let written = (|| {
            durable::make_directory(&self.directory)?;
            let partial = durable::write_beside(&path, snapshot.document())?;
            // A current document that was refused must not push out a good previous one.
            if self.current.is_some() {
                match fs::rename(&path, self.directory.join(PREVIOUS)) {
                    // Somebody has cleared the cache: there is nothing to keep.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    renamed => renamed?,
                }
            }
            fs::rename(partial, &path)?;
            durable::sync_directory_of(&path)
        })();
        written.map_err(|error| CacheError::Disk {
            path: path.display().to_string(),
            error,
        })?;
        self.current = Some(*snapshot.identity());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::SystemTime;

    use keelgate_snapshot::{Position, accept_unsigned, build};
    use uuid::Uuid;

    use super::*;

    fn snapshot(revision: u64) -> Snapshot {
        let config = serde_json::json!({"_format_version": "3.0", "note": revision});
        let position = Position {
            cluster_id: Uuid::from_u128(1),
            epoch: 1,
            revision,
        };
        build(&config, position, "0.1.0", SystemTime::now(), None).unwrap()
    }

    fn verify() -> Verify {
        Arc::new(accept_unsigned)
    }

    fn revisions(cache: &mut Cache) -> Vec<u64> {
        let loaded = cache.load(&verify());
        loaded
            .good
            .iter()
            .map(|good| good.identity().revision)
            .collect()
    }

    #[test]
    fn the_last_two_documents_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut cache = Cache::new(folder.path().join("cache"));
        assert!(revisions(&mut cache).is_empty());
        for revision in 1..=3 {
            cache.store(&snapshot(revision)).unwrap();
        }
        let mut next_life = Cache::new(folder.path().join("cache"));
        assert_eq!(revisions(&mut next_life), [3, 2]);
    }

    #[test]
    fn a_damaged_document_is_refused_and_does_not_push_out_the_good_one() {
        let folder = tempfile::tempdir().unwrap();
        let mut cache = Cache::new(folder.path().into());
        cache.store(&snapshot(1)).unwrap();
        cache.store(&snapshot(2)).unwrap();
        let current = folder.path().join(CURRENT);
        let bytes = fs::read(&current).unwrap();
        fs::write(&current, &bytes[..bytes.len() / 2]).unwrap();

        let mut next_life = Cache::new(folder.path().into());
        let loaded = next_life.load(&verify());
        assert_eq!(loaded.good.len(), 1);
        assert!(
            loaded.refused[0].to_string().contains("truncated"),
            "{}",
            loaded.refused[0]
        );
        next_life.store(&snapshot(3)).unwrap();
        assert_eq!(revisions(&mut next_life), [3, 1]);
    }

    #[test]
    fn a_crash_between_the_renames_loses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut cache = Cache::new(folder.path().into());
        cache.store(&snapshot(1)).unwrap();
        fs::rename(folder.path().join(CURRENT), folder.path().join(PREVIOUS)).unwrap();
        assert_eq!(revisions(&mut Cache::new(folder.path().into())), [1]);
    }

    #[test]
    fn a_cache_that_was_cleared_is_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("cache");
        let mut cache = Cache::new(directory.clone());
        cache.store(&snapshot(1)).unwrap();
        fs::remove_dir_all(&directory).unwrap();
        cache.store(&snapshot(2)).unwrap();
        assert_eq!(revisions(&mut cache), [2]);
    }

    #[test]
    fn only_the_owner_can_read_the_documents() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("cache");
        Cache::new(directory.clone()).store(&snapshot(1)).unwrap();
        let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(directory.clone()), 0o700);
        assert_eq!(mode(directory.join(CURRENT)), 0o600);
    }
}
