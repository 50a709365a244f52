//! `file:///directory`: objects as files, compare-and-swap by a lock and an atomic rename.
//!
//! Writers hold an exclusive lock on one file of the directory while they compare and rename;
//! readers need no lock, because a rename shows them either the old file or the new one.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use keelgate_snapshot::MAX_DOCUMENT_BYTES;
use tokio::sync::Semaphore;
use xxhash_rust::xxh3::xxh3_128;

use self::seen::Seen;
use super::place::{Failure, Place};
use super::{
    Answer, ErrorKind, LIST_LIMIT, Listed, Object, Operation, Storage, StorageError, Version,
};
use crate::durable::write_durably;

mod seen;

const LOCK: &str = ".lock";
/// Snapshots hold credentials and keys: not everybody on the machine may read them. A group may, so
/// that nodes of several users can share a volume.
const FILE_MODE: u32 = 0o640;
const DIRECTORY_MODE: u32 = 0o750;

/// How many bytes one system call reads. Some kernels copy whole pages of 2 MiB without giving the
/// processor up, for which requests would wait.
const PIECE: u64 = 64 * 1024;

const LOCK_POLL: Duration = Duration::from_millis(5);

/// Operations that run at one time: on a network file system that hangs each holds a thread for as
/// long as that lasts, and the threads serve the rest of the node, too.
const AT_ONCE: usize = 8;

#[derive(Debug)]
pub(super) struct Directory {
    root: Arc<Root>,
    place: Place,
    slots: Arc<Semaphore>,
}

/// What a write expects to find.
enum Expected {
    Anything,
    Absent,
    Version(Version),
}

/// Why an attempt failed.
enum Obstacle {
    /// Another writer is at work: worth another attempt at once.
    Locked,
    Failure(Failure),
}

impl Directory {
    pub(super) fn new(location: String, root: PathBuf, time_out: Duration) -> Self {
        Self {
            place: Place {
                location,
                time_out,
                mend,
            },
            root: Arc::new(Root {
                path: root,
                seen: Seen::default(),
            }),
            slots: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// Runs a blocking operation beside the async threads, within the time-out: a hanging network
    /// file system costs a few threads, not the caller.
    async fn run<T: Send + 'static>(
        &self,
        operation: Operation,
        key: &str,
        work: impl Fn(&Root) -> Result<T, Obstacle> + Send + Sync + 'static,
    ) -> Result<T, StorageError> {
        let work = Arc::new(work);
        let attempts = async {
            loop {
                let (root, work) = (Arc::clone(&self.root), Arc::clone(&work));
                let slot = Arc::clone(&self.slots).acquire_owned().await;
                let attempt = move || {
                    // Given back when the operation ends, whoever still waits for it.
                    let _slot = slot;
                    work(&root)
                };
                match tokio::task::spawn_blocking(attempt).await {
                    Ok(Err(Obstacle::Locked)) => tokio::time::sleep(LOCK_POLL).await,
                    Ok(Err(Obstacle::Failure(failure))) => return Err(failure),
                    Ok(Ok(value)) => return Ok(value),
                    Err(stopped) => return Err(Failure::new(ErrorKind::Unavailable, stopped)),
                }
            }
        };
        self.place.run(operation, key, attempts).await
    }

    async fn write(
        &self,
        operation: Operation,
        key: &str,
        bytes: Bytes,
        expected: Expected,
    ) -> Result<Version, StorageError> {
        let name = key.to_owned();
        self.run(operation, key, move |root| {
            root.write(&name, &bytes, &expected)
        })
        .await
    }
}

fn mend(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::Denied => {
            Some("check the owner, the mode and the read-only flag of the directory and its volume")
        }
        ErrorKind::NoContainer => {
            Some("mount the volume, or correct cluster_fallback_config_storage")
        }
        ErrorKind::TimedOut => {
            Some("check the volume, and whether another writer holds its .lock file")
        }
        kind => kind.mend(),
    }
}

impl Storage for Directory {
    fn location(&self) -> &str {
        &self.place.location
    }

    fn writable(&self) -> bool {
        true
    }

    fn get<'a>(
        &'a self,
        key: &'a str,
        known: Option<&'a Version>,
        limit: u64,
    ) -> Answer<'a, Object> {
        let (name, known) = (key.to_owned(), known.cloned());
        Box::pin(self.run(Operation::Read, key, move |root| {
            if let Some(known) = &known
                && root.version(&name)?.as_ref() == Some(known)
            {
                return Err(Failure::bare(ErrorKind::NotModified).into());
            }
            let object = root.read(&name, limit)?;
            if known.as_ref() == Some(&object.version) {
                return Err(Failure::bare(ErrorKind::NotModified).into());
            }
            Ok(object)
        }))
    }

    fn put<'a>(&'a self, key: &'a str, bytes: Bytes) -> Answer<'a, Version> {
        Box::pin(self.write(Operation::Write, key, bytes, Expected::Anything))
    }

    fn put_if_absent<'a>(&'a self, key: &'a str, bytes: Bytes) -> Answer<'a, Version> {
        Box::pin(self.write(Operation::Create, key, bytes, Expected::Absent))
    }

    fn put_if_match<'a>(
        &'a self,
        key: &'a str,
        bytes: Bytes,
        expected: &'a Version,
    ) -> Answer<'a, Version> {
        let expected = Expected::Version(expected.clone());
        Box::pin(self.write(Operation::Replace, key, bytes, expected))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<Listed>> {
        let folder = prefix.to_owned();
        Box::pin(self.run(Operation::List, prefix, move |root| {
            root.entries(&root.of(&folder), |name, entry| {
                let metadata = entry.metadata()?;
                Ok(metadata.is_file().then(|| Listed {
                    name,
                    bytes: metadata.len(),
                    modified: metadata.modified().ok(),
                }))
            })
        }))
    }

    fn folders(&self) -> Answer<'_, Vec<String>> {
        Box::pin(self.run(Operation::List, "", |root| {
            root.entries(&root.path, |name, entry| {
                Ok(entry.file_type()?.is_dir().then_some(name))
            })
        }))
    }

    fn delete<'a>(&'a self, key: &'a str) -> Answer<'a, ()> {
        let name = key.to_owned();
        Box::pin(self.run(Operation::Delete, key, move |root| {
            let _lock = root.lock()?;
            match fs::remove_file(root.of(&name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
                _ => Ok(()),
            }
        }))
    }
}

/// The blocking side.
#[derive(Debug)]
struct Root {
    path: PathBuf,
    seen: Seen,
}

impl Root {
    /// Keys were found plain, so that they cannot leave the directory.
    fn of(&self, key: &str) -> PathBuf {
        self.path.join(key)
    }

    /// The version of a file, if that is known without reading it.
    fn version(&self, key: &str) -> Result<Option<Version>, Failure> {
        // Opened, because a network file system asks its server then.
        Ok(self.seen.version(&File::open(self.of(key))?.metadata()?))
    }

    fn read(&self, key: &str, limit: u64) -> Result<Object, Failure> {
        let file = File::open(self.of(key))?;
        let metadata = file.metadata()?;
        let size = metadata.len();
        if size > limit {
            return Err(Failure::too_large(limit));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        let mut rest = file.take(limit.saturating_add(1));
        while (&mut rest).take(PIECE).read_to_end(&mut bytes)? > 0 {}
        if bytes.len() as u64 > limit {
            return Err(Failure::too_large(limit));
        }
        let version = version_of(&bytes);
        self.seen.note(&metadata, &version);
        Ok(Object {
            bytes: bytes.into(),
            version,
        })
    }

    fn write(&self, key: &str, bytes: &[u8], expected: &Expected) -> Result<Version, Obstacle> {
        let path = self.of(key);
        let _lock = self.lock()?;
        self.check(key, expected)?;
        let folder = path.parent().unwrap_or(&self.path);
        make_directory(folder)?;
        // One fixed name per object: what a crash leaves behind is overwritten by the next write,
        // under the same lock.
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let partial = folder.join(format!(".{name}.partial"));
        write_durably(&partial, FILE_MODE, bytes)?;
        fs::rename(&partial, &path)?;
        File::open(folder)?.sync_all()?;
        let version = version_of(bytes);
        self.seen.note(&fs::metadata(&path)?, &version);
        Ok(version)
    }

    /// Whether a write finds what it expects.
    fn check(&self, key: &str, expected: &Expected) -> Result<(), Failure> {
        match expected {
            Expected::Anything => Ok(()),
            Expected::Absent => match self.of(key).try_exists()? {
                true => Err(Failure::bare(ErrorKind::AlreadyExists)),
                false => Ok(()),
            },
            // What is larger than any object that is read cannot be the version that was read.
            Expected::Version(version) if matches!(self.version(key), Ok(Some(seen)) if seen == *version) => {
                Ok(())
            }
            Expected::Version(version) => match self.read(key, MAX_DOCUMENT_BYTES as u64) {
                Ok(object) if object.version == *version => Ok(()),
                Ok(_) => Err(Failure::bare(ErrorKind::Precondition)),
                Err(failure) => Err(match failure.kind {
                    ErrorKind::NotFound | ErrorKind::TooLarge => {
                        Failure::bare(ErrorKind::Precondition)
                    }
                    _ => failure,
                }),
            },
        }
    }

    /// Takes the directory's lock, or says that another writer has it; it is released when the
    /// file is dropped, also by a crash.
    fn lock(&self) -> Result<File, Obstacle> {
        make_directory(&self.path)?;
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(FILE_MODE)
            .open(self.path.join(LOCK))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(Obstacle::Locked),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }

    /// What `pick` takes of a folder, at most [`LIST_LIMIT`]; hidden entries are the storage's own.
    fn entries<T>(
        &self,
        folder: &Path,
        pick: impl Fn(String, &fs::DirEntry) -> io::Result<Option<T>>,
    ) -> Result<Vec<T>, Obstacle> {
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut picked = Vec::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') {
                continue;
            }
            match pick(name, &entry) {
                Ok(entry) => picked.extend(entry),
                // It was deleted in the meantime.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
            if picked.len() == LIST_LIMIT {
                break;
            }
        }
        Ok(picked)
    }
}

fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY_MODE)
        .create(path)
}

/// Tells contents apart. It is remembered by one process only and guards against nobody, since
/// whoever writes to the directory can do anything; so it may be quick.
fn version_of(bytes: &[u8]) -> Version {
    Version(format!("{:032x}", xxh3_128(bytes)))
}

impl From<Failure> for Obstacle {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<io::Error> for Obstacle {
    fn from(error: io::Error) -> Self {
        Self::Failure(error.into())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => return Self::bare(ErrorKind::NotFound),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                ErrorKind::Denied
            }
            io::ErrorKind::TimedOut => ErrorKind::TimedOut,
            // A file is where a directory would be.
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => ErrorKind::NoContainer,
            _ => ErrorKind::Unavailable,
        };
        Self::new(kind, error)
    }
}

#[cfg(test)]
mod tests;
