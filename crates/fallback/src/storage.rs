//! Storages: one trait of conditional reads and writes, and its implementations.

mod directory;
mod error;
mod s3;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;

pub use error::{ErrorKind, Operation, StorageError};
pub use s3::S3Settings;

use crate::Location;

/// What a storage calls one state of an object (an entity tag, a content hash). Opaque: it is
/// compared and handed back, never read as a hash of the content.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Version(pub String);

/// An object as it was read.
#[derive(Clone, Debug)]
pub struct Object {
    /// The whole content.
    pub bytes: Bytes,
    /// The state that was read; a replace compares with it.
    pub version: Version,
}

/// The answer of a storage.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, StorageError>>;

/// A place that keeps objects by key, with writes that compare.
///
/// Keys are relative to the location, segments are parted by `/`, and every segment is made of
/// letters, digits, `.`, `_`, `-`, `+`, never starting with a dot. Every operation answers within the time-outs of the storage;
/// none retries.
pub trait Storage: fmt::Debug + Send + Sync {
    /// The location, for messages and status.
    fn location(&self) -> &str;

    /// Reads an object of at most `limit` bytes. With a `known` version that is still the current
    /// one the answer is [`ErrorKind::NotModified`].
    fn get<'a>(
        &'a self,
        key: &'a str,
        known: Option<&'a Version>,
        limit: u64,
    ) -> Answer<'a, Object>;

    /// Creates an object; [`ErrorKind::AlreadyExists`] if there is one.
    fn put_if_absent<'a>(&'a self, key: &'a str, bytes: Bytes) -> Answer<'a, Version>;

    /// Replaces an object; [`ErrorKind::Precondition`] if its version is not `expected` or if it
    /// is gone.
    fn put_if_match<'a>(
        &'a self,
        key: &'a str,
        bytes: Bytes,
        expected: &'a Version,
    ) -> Answer<'a, Version>;

    /// The names of the objects directly below the folder `prefix`, without it; at most
    /// [`LIST_LIMIT`].
    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<String>>;

    /// The names of the folders directly below the location.
    fn folders(&self) -> Answer<'_, Vec<String>>;

    /// Deletes an object; one that is gone already is no error.
    fn delete<'a>(&'a self, key: &'a str) -> Answer<'a, ()>;
}

/// How many names a list returns at most.
pub const LIST_LIMIT: usize = 10_000;

/// How long one operation may take.
#[derive(Clone, Copy, Debug)]
pub struct TimeOuts {
    /// Making a connection.
    pub connect: Duration,
    /// The whole of one operation.
    pub operation: Duration,
}

impl Default for TimeOuts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            operation: Duration::from_secs(15),
        }
    }
}

/// What opening a storage needs besides its location.
#[derive(Clone, Debug, Default)]
pub struct StorageSettings {
    /// Time-outs of every operation.
    pub time_outs: TimeOuts,
    /// Settings of S3 locations.
    pub s3: S3Settings,
}

/// Opens the storage at `location`; no request is made yet.
pub fn open(
    location: &Location,
    settings: &StorageSettings,
) -> Result<Arc<dyn Storage>, StorageError> {
    Ok(match location {
        Location::S3 { bucket, prefix } => Arc::new(s3::S3::open(
            bucket,
            prefix,
            &settings.s3,
            settings.time_outs,
        )?),
        Location::Directory { path } => Arc::new(directory::Directory::new(
            path.clone(),
            settings.time_outs.operation,
        )),
    })
}
