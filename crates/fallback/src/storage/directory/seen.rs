//! The version of the file that was read or written last, so that it need not be read and hashed
//! again to see that it is still the same.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::sync::{Mutex, PoisonError};

use super::super::Version;

/// What tells one state of a file from the others. Writers replace files, so a new content has
/// another inode; who writes into one changes its times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl State {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// One file: a publisher asks for the same one over and over.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<Option<(State, Version)>>);

impl Seen {
    /// The version of an open file, if it is the last one that was seen.
    pub(super) fn version(&self, metadata: &Metadata) -> Option<Version> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (state, version) = seen.as_ref()?;
        (*state == State::of(metadata)).then(|| version.clone())
    }

    /// `metadata` was taken before the content was read.
    pub(super) fn note(&self, metadata: &Metadata, version: &Version) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = Some((State::of(metadata), version.clone()));
    }
}
