//! `file:///directory`: objects as files, compare-and-swap by a lock and an atomic rename.
//!
//! Writers hold an exclusive lock on one file of the directory while they compare and rename;
//! readers need no lock, because a rename shows them either the old file or the new one.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use keelgate_snapshot::MAX_DOCUMENT_BYTES;
use tokio::sync::Semaphore;
use xxhash_rust::xxh3::xxh3_128;

use super::place::{Failure, Place};
use super::{
    Answer, ErrorKind, LIST_LIMIT, Listed, Object, Operation, Storage, StorageError, Version,
};

const LOCK: &str = ".lock";
/// Snapshots hold credentials and keys: not everybody on the machine may read them. A group may, so
/// that nodes of several users can share a volume.
const FILE_MODE: u32 = 0o640;
const DIRECTORY_MODE: u32 = 0o750;

/// How many bytes one system call moves. Some kernels copy whole pages of 2 MiB without giving the
/// processor up, for which requests would wait.
const PIECE: u64 = 64 * 1024;

const LOCK_POLL: Duration = Duration::from_millis(5);

/// Operations that run at one time: on a network file system that hangs each holds a thread for as
/// long as that lasts, and the threads serve the rest of the node, too.
const AT_ONCE: usize = 8;

#[derive(Debug)]
pub(super) struct Directory {
    root: Arc<PathBuf>,
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
            root: Arc::new(root),
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
                    work(&Root(&root))
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
            root.entries(&root.path(&folder), |name, entry| {
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
            root.entries(root.0, |name, entry| {
                Ok(entry.file_type()?.is_dir().then_some(name))
            })
        }))
    }

    fn delete<'a>(&'a self, key: &'a str) -> Answer<'a, ()> {
        let name = key.to_owned();
        Box::pin(self.run(Operation::Delete, key, move |root| {
            let _lock = root.lock()?;
            match fs::remove_file(root.path(&name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
                _ => Ok(()),
            }
        }))
    }
}

/// The blocking side.
struct Root<'a>(&'a Path);

impl Root<'_> {
    /// Keys were found plain, so that they cannot leave the directory.
    fn path(&self, key: &str) -> PathBuf {
        self.0.join(key)
    }

    fn read(&self, key: &str, limit: u64) -> Result<Object, Failure> {
        let file = File::open(self.path(key))?;
        let size = file.metadata()?.len();
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
        Ok(Object {
            bytes: bytes.into(),
            version,
        })
    }

    fn write(&self, key: &str, bytes: &[u8], expected: &Expected) -> Result<Version, Obstacle> {
        let path = self.path(key);
        let _lock = self.lock()?;
        self.check(key, expected)?;
        let folder = path.parent().unwrap_or(self.0);
        make_directory(folder)?;
        // One fixed name per object: what a crash leaves behind is overwritten by the next write,
        // under the same lock.
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let partial = folder.join(format!(".{name}.partial"));
        let mut file = File::options()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(FILE_MODE)
            .open(&partial)?;
        for piece in bytes.chunks(PIECE as usize) {
            file.write_all(piece)?;
        }
        file.sync_all()?;
        fs::rename(&partial, &path)?;
        File::open(folder)?.sync_all()?;
        Ok(version_of(bytes))
    }

    /// Whether a write finds what it expects.
    fn check(&self, key: &str, expected: &Expected) -> Result<(), Failure> {
        match expected {
            Expected::Anything => Ok(()),
            Expected::Absent => match self.path(key).try_exists()? {
                true => Err(Failure::bare(ErrorKind::AlreadyExists)),
                false => Ok(()),
            },
            // What is larger than any object that is read cannot be the version that was read.
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
        make_directory(self.0)?;
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(FILE_MODE)
            .open(self.0.join(LOCK))?;
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
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;

    use super::*;

    const PATIENT: Duration = Duration::from_secs(10);

    fn opened(root: &Path, time_out: Duration) -> Directory {
        Directory::new("file:///test".to_owned(), root.to_owned(), time_out)
    }

    #[tokio::test]
    async fn not_everybody_can_read_what_is_stored() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("storage");
        let storage = opened(&root, PATIENT);
        let key = "0.1.0/config.json";
        storage
            .put_if_absent(key, Bytes::from_static(b"{}"))
            .await
            .unwrap();
        for path in [key, "0.1.0", ".lock", ""] {
            let mode = fs::metadata(root.join(path)).unwrap().permissions().mode();
            assert_eq!(mode & 0o007, 0, "{path}: {mode:o}");
        }
    }

    #[tokio::test]
    async fn no_key_leaves_the_directory() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("storage");
        fs::create_dir(&root).unwrap();
        fs::write(folder.path().join("secret"), "x").unwrap();
        let storage = opened(&root, PATIENT);
        for key in [
            "../secret",
            "a/../../secret",
            "/etc/passwd",
            "a//b",
            ".lock",
            "",
        ] {
            let error = storage.get(key, None, 100).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Invalid, "{key}");
            let put = storage.put_if_absent(key, Bytes::new()).await;
            assert_eq!(put.unwrap_err().kind, ErrorKind::Invalid, "{key}");
        }
    }

    #[tokio::test]
    async fn a_half_written_file_of_a_crashed_writer_is_neither_read_nor_listed() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("storage");
        fs::create_dir_all(root.join("v")).unwrap();
        fs::write(root.join("v/.config.json.partial"), "hal").unwrap();
        let storage = opened(&root, PATIENT);
        assert!(storage.list("v").await.unwrap().is_empty());
        let whole = Bytes::from_static(b"whole");
        storage
            .put_if_absent("v/config.json", whole.clone())
            .await
            .unwrap();
        let object = storage.get("v/config.json", None, 100).await.unwrap();
        assert_eq!(object.bytes, whole);
    }

    #[tokio::test]
    async fn a_writer_that_holds_the_lock_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let lock = File::create(folder.path().join(LOCK)).unwrap();
        lock.lock().unwrap();
        let storage = opened(folder.path(), PATIENT);
        let write = storage.put("v/config.json", Bytes::from_static(b"{}"));
        let (written, ()) = tokio::join!(write, async {
            tokio::time::sleep(LOCK_POLL * 3).await;
            drop(lock);
        });
        written.unwrap();
    }

    #[tokio::test]
    async fn a_volume_that_hangs_holds_a_few_threads_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let storage = opened(folder.path(), LOCK_POLL);
        let begun = Arc::new(AtomicUsize::new(0));
        let (volume_is_back, hung) = channel::<()>();
        let hung = Arc::new(Mutex::new(hung));
        for _ in 0..3 * AT_ONCE {
            let (begun, hung) = (Arc::clone(&begun), Arc::clone(&hung));
            let read = storage.run(Operation::Read, "v/x", move |_| {
                begun.fetch_add(1, Ordering::Relaxed);
                let _ = hung.lock().unwrap().recv();
                Ok(())
            });
            assert_eq!(read.await.unwrap_err().kind, ErrorKind::TimedOut);
        }
        drop(volume_is_back);
        // They end, and others find their place.
        while storage.slots.available_permits() < AT_ONCE {
            tokio::task::yield_now().await;
        }
        assert_eq!(begun.load(Ordering::Relaxed), AT_ONCE);
    }

    #[tokio::test]
    async fn a_huge_file_in_the_place_of_an_object_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("v")).unwrap();
        let huge = File::create(folder.path().join("v/x")).unwrap();
        // Takes no room on the disk, and more memory than there is.
        huge.set_len(1 << 42).unwrap();
        let storage = opened(folder.path(), PATIENT);
        let created = storage.put_if_absent("v/x", Bytes::new()).await;
        assert_eq!(created.unwrap_err().kind, ErrorKind::AlreadyExists);
        let version = Version("any".to_owned());
        let replaced = storage.put_if_match("v/x", Bytes::new(), &version).await;
        assert_eq!(replaced.unwrap_err().kind, ErrorKind::Precondition);
    }

    #[tokio::test]
    async fn a_lock_that_is_never_given_back_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let lock = File::create(folder.path().join(LOCK)).unwrap();
        lock.lock().unwrap();
        let storage = opened(folder.path(), LOCK_POLL * 3);
        let error = storage.put("v/x", Bytes::new()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::TimedOut);
        assert!(error.to_string().contains(".lock"), "{error}");
    }
}
