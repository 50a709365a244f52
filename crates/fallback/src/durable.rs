//! Files whose bytes are on the disk when writing them ends, at little cost to the threads that serve
//! requests meanwhile.
//!
//! A large document goes to the disk past the page cache. Through it the kernel would take, fill,
//! write back and give up over a thousand pages per document, most of that in stretches in which it
//! gives the processor to nobody, and would push what is in use out of the cache.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// How many bytes one system call moves. Some kernels copy whole pages of 2 MiB without giving the
/// processor up, for which requests would wait.
const PIECE: usize = 64 * 1024;

/// The same past the page cache, where nothing is copied: each is one request to the disk, and what
/// is not larger is written as everything is.
#[cfg(target_os = "linux")]
const DIRECT_PIECE: usize = 512 * 1024;

/// Offsets, lengths and addresses of writes past the page cache are multiples of this: no disk has
/// larger blocks.
#[cfg(target_os = "linux")]
const BLOCK: usize = 4096;

/// Writes `bytes` to a new file, or over the one that is there, and waits until the disk has them.
/// A new file has the permissions `mode`, less the process's mask.
///
/// After an error the content of the file is undefined. Its name is not yet durable: that is for
/// whoever knows its last name.
///
/// # Errors
/// What the system says.
pub fn write_durably(path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    if let Some(file) = write_directly(path, mode, bytes)? {
        return file.sync_all();
    }
    let mut file = options(mode).open(path)?;
    for piece in bytes.chunks(PIECE) {
        file.write_all(piece)?;
    }
    file.sync_all()
}

fn options(mode: u32) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).truncate(true).write(true).mode(mode);
    options
}

/// Writes a large file past the page cache; nothing for a small one, and where the file system has no
/// such thing.
#[cfg(target_os = "linux")]
fn write_directly(path: &Path, mode: u32, bytes: &[u8]) -> io::Result<Option<File>> {
    use rustix::fs::OFlags;

    if bytes.len() <= DIRECT_PIECE {
        return Ok(None);
    }
    let flags = i32::try_from(OFlags::DIRECT.bits()).unwrap_or_default();
    let mut file = match options(mode).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if is_unsupported(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut space = vec![0; DIRECT_PIECE + BLOCK];
    let start = space.as_ptr().align_offset(BLOCK);
    let aligned = &mut space[start..start + DIRECT_PIECE];
    for (number, piece) in bytes.chunks(DIRECT_PIECE).enumerate() {
        let whole = piece.len().next_multiple_of(BLOCK);
        aligned[..piece.len()].copy_from_slice(piece);
        aligned[piece.len()..whole].fill(0);
        match file.write_all(&aligned[..whole]) {
            // Some file systems open a file so and then refuse to write it.
            Err(error) if number == 0 && is_unsupported(&error) => return Ok(None),
            written => written?,
        }
    }
    file.set_len(bytes.len() as u64)?;
    Ok(Some(file))
}

#[cfg(not(target_os = "linux"))]
fn write_directly(_: &Path, _: u32, _: &[u8]) -> io::Result<Option<File>> {
    Ok(None)
}

#[cfg(target_os = "linux")]
fn is_unsupported(error: &io::Error) -> bool {
    use std::io::ErrorKind::{InvalidInput, Unsupported};
    matches!(error.kind(), InvalidInput | Unsupported)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_has_what_was_written_and_nothing_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("document");
        // Longer ones first, so that shorter ones replace them.
        for length in [
            (1 << 21) + 4097,
            (1 << 20) + 4096,
            (1 << 20) - 1,
            1 << 20,
            (1 << 19) + 1,
            1 << 19,
            1 << 16,
            1,
            0,
        ] {
            let bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            write_durably(&path, 0o600, &bytes).unwrap();
            assert!(std::fs::read(&path).unwrap() == bytes, "{length}");
        }
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_the_system_refuses_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let large = vec![0; 1 << 20];
        for bytes in [&large[..], b"small"] {
            let refused = write_durably(folder.path(), 0o600, bytes).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::IsADirectory);
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn where_the_page_cache_cannot_be_passed_by_it_is_used() {
        let full = Path::new("/dev/full");
        let refused = write_durably(full, 0o600, &vec![0; 1 << 20]).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
    }
}
