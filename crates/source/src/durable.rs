//! Small files that survive a crash.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use keelgate_fallback::write_durably;

/// Makes a directory that only this user can enter: what it holds may contain secrets.
pub(crate) fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Where the bytes of a file stand until they are whole.
fn partial(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    path.with_file_name(name)
}

/// Removes what was written beside `path` and never put in its place.
pub(crate) fn remove_partial(path: &Path) -> io::Result<()> {
    remove(&partial(path))
}

/// Writes `bytes` beside `path` and makes them durable, without putting them in its place yet.
pub(crate) fn write_beside(path: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
    let partial = partial(path);
    write_durably(&partial, 0o600, bytes)?;
    Ok(partial)
}

/// Replaces the file at `path`: after a crash it has the old content or the new one.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let partial = write_beside(path, bytes)?;
    fs::rename(partial, path)?;
    sync_directory_of(path)
}

/// Removes a file durably; one that is gone already is no error.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => sync_directory_of(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes renames and removals beside `path` durable.
pub(crate) fn sync_directory_of(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}
