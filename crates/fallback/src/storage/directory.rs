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
use keelgate_snapshot::Digest;

use super::{Answer, ErrorKind, LIST_LIMIT, Object, Operation, Storage, StorageError, Version};

const LOCK: &str = ".lock";
/// Snapshots hold credentials and keys: not everybody on the machine may read them. A group may, so
/// that nodes of several users can share a volume.
const FILE_MODE: u32 = 0o640;
const DIRECTORY_MODE: u32 = 0o750;

const LOCK_POLL: Duration = Duration::from_millis(5);

#[derive(Debug)]
pub(super) struct Directory {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    location: String,
    time_out: Duration,
}

/// What a write expects to find.
enum Expected {
    Absent,
    Version(Version),
}

impl Directory {
    pub(super) fn new(root: PathBuf, time_out: Duration) -> Self {
        let location = format!("file://{}", root.display());
        Self {
            inner: Arc::new(Inner {
                root,
                location,
                time_out,
            }),
        }
    }

    /// Runs a blocking operation beside the async threads, within the time-out: a hanging network
    /// file system costs one thread, not the caller.
    async fn run<T: Send + 'static>(
        &self,
        operation: Operation,
        key: &str,
        work: impl Fn(&Inner) -> Result<T, Failure> + Send + Sync + 'static,
    ) -> Result<T, StorageError> {
        let work = Arc::new(work);
        let attempts = async {
            loop {
                let (inner, work) = (Arc::clone(&self.inner), Arc::clone(&work));
                match tokio::task::spawn_blocking(move || work(&inner)).await {
                    Ok(Err(failure)) if failure.locked => tokio::time::sleep(LOCK_POLL).await,
                    Ok(result) => return result,
                    Err(stopped) => return Err(Failure::new(ErrorKind::Unavailable, stopped)),
                }
            }
        };
        let failure = match tokio::time::timeout(self.inner.time_out, attempts).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(failure)) => failure,
            Err(_) => Failure::new(
                ErrorKind::TimedOut,
                format_args!("after {:?}", self.inner.time_out),
            ),
        };
        Err(StorageError {
            storage: self.inner.location.clone(),
            operation,
            key: key.to_owned(),
            kind: failure.kind,
            detail: failure.detail,
        })
    }
}

impl Storage for Directory {
    fn location(&self) -> &str {
        &self.inner.location
    }

    fn get<'a>(
        &'a self,
        key: &'a str,
        known: Option<&'a Version>,
        limit: u64,
    ) -> Answer<'a, Object> {
        let (name, known) = (key.to_owned(), known.cloned());
        Box::pin(self.run(Operation::Read, key, move |inner| {
            let object = inner.read(&name, limit)?;
            if known.as_ref() == Some(&object.version) {
                return Err(Failure::bare(ErrorKind::NotModified));
            }
            Ok(object)
        }))
    }

    fn put_if_absent<'a>(&'a self, key: &'a str, bytes: Bytes) -> Answer<'a, Version> {
        let name = key.to_owned();
        Box::pin(self.run(Operation::Create, key, move |inner| {
            inner.write(&name, &bytes, &Expected::Absent)
        }))
    }

    fn put_if_match<'a>(
        &'a self,
        key: &'a str,
        bytes: Bytes,
        expected: &'a Version,
    ) -> Answer<'a, Version> {
        let (name, expected) = (key.to_owned(), Expected::Version(expected.clone()));
        Box::pin(self.run(Operation::Replace, key, move |inner| {
            inner.write(&name, &bytes, &expected)
        }))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<String>> {
        let folder = prefix.to_owned();
        Box::pin(self.run(Operation::List, prefix, move |inner| {
            inner.names(&inner.path(&folder)?, |kind| kind.is_file())
        }))
    }

    fn folders(&self) -> Answer<'_, Vec<String>> {
        Box::pin(self.run(Operation::List, "", |inner| {
            inner.names(&inner.root, |kind| kind.is_dir())
        }))
    }

    fn delete<'a>(&'a self, key: &'a str) -> Answer<'a, ()> {
        let name = key.to_owned();
        Box::pin(self.run(Operation::Delete, key, move |inner| {
            let _lock = inner.lock()?;
            match fs::remove_file(inner.path(&name)?) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
                _ => Ok(()),
            }
        }))
    }
}

impl Inner {
    fn path(&self, key: &str) -> Result<PathBuf, Failure> {
        let plain = key.split('/').all(|segment| {
            !segment.is_empty()
                && !segment.starts_with('.')
                && segment
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte))
        });
        if plain {
            Ok(self.root.join(key))
        } else {
            Err(Failure::new(ErrorKind::Invalid, "the key is not plain"))
        }
    }

    fn read(&self, key: &str, limit: u64) -> Result<Object, Failure> {
        let file = File::open(self.path(key)?)?;
        let size = file.metadata()?.len();
        let too_large = || Failure::new(ErrorKind::TooLarge, format_args!("over {limit} bytes"));
        if size > limit {
            return Err(too_large());
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(too_large());
        }
        let version = version_of(&bytes);
        Ok(Object {
            bytes: bytes.into(),
            version,
        })
    }

    fn write(&self, key: &str, bytes: &[u8], expected: &Expected) -> Result<Version, Failure> {
        let path = self.path(key)?;
        let _lock = self.lock()?;
        match (expected, self.read(key, u64::MAX)) {
            (Expected::Absent, Ok(_)) => return Err(Failure::bare(ErrorKind::AlreadyExists)),
            (Expected::Absent, Err(failure)) if failure.kind == ErrorKind::NotFound => {}
            (Expected::Version(version), Ok(found)) if found.version == *version => {}
            (Expected::Version(_), Ok(_)) => return Err(Failure::bare(ErrorKind::Precondition)),
            (Expected::Version(_), Err(failure)) if failure.kind == ErrorKind::NotFound => {
                return Err(Failure::bare(ErrorKind::Precondition));
            }
            (_, Err(failure)) => return Err(failure),
        }
        let folder = path.parent().unwrap_or(&self.root);
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
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&partial, &path)?;
        File::open(folder)?.sync_all()?;
        Ok(version_of(bytes))
    }

    /// Takes the directory's lock, or says that another writer has it; it is released when the
    /// file is dropped, also by a crash.
    fn lock(&self) -> Result<File, Failure> {
        make_directory(&self.root)?;
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(FILE_MODE)
            .open(self.root.join(LOCK))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(Failure {
                locked: true,
                ..Failure::new(ErrorKind::Unavailable, "another writer holds .lock")
            }),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }

    fn names(
        &self,
        folder: &Path,
        wanted: impl Fn(&fs::FileType) -> bool,
    ) -> Result<Vec<String>, Failure> {
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with('.') && wanted(&entry.file_type()?) {
                names.push(name);
            }
            if names.len() == LIST_LIMIT {
                break;
            }
        }
        names.sort_unstable();
        Ok(names)
    }
}

fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY_MODE)
        .create(path)
}

fn version_of(bytes: &[u8]) -> Version {
    Version(Digest::of(bytes).to_string())
}

/// A failure before the storage, operation and key are added to it.
struct Failure {
    kind: ErrorKind,
    detail: String,
    /// Another writer is at work: worth another attempt at once.
    locked: bool,
}

impl Failure {
    fn new(kind: ErrorKind, detail: impl std::fmt::Display) -> Self {
        Self {
            kind,
            detail: detail.to_string(),
            locked: false,
        }
    }

    fn bare(kind: ErrorKind) -> Self {
        Self::new(kind, "")
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => ErrorKind::NotFound,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                ErrorKind::Denied
            }
            io::ErrorKind::TimedOut => ErrorKind::TimedOut,
            io::ErrorKind::NotADirectory => ErrorKind::NoContainer,
            _ => ErrorKind::Unavailable,
        };
        match kind {
            ErrorKind::NotFound => Self::bare(kind),
            _ => Self::new(kind, error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn not_everybody_can_read_what_is_stored() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("storage");
        let storage = Directory::new(root.clone(), Duration::from_secs(10));
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
        let storage = Directory::new(root, Duration::from_secs(10));
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
}
