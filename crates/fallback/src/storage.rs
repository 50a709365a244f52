//! Storages: one trait of conditional reads and writes, and its implementations.

mod azure;
mod directory;
mod endpoint;
mod error;
mod gcs;
mod https;
mod object;
mod place;
mod put_options;
mod s3;
mod settings;
mod token;
mod web;

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::future::BoxFuture;

pub use error::{ErrorKind, Operation, StorageError};
pub use put_options::{S3PutOptions, S3PutOptionsError};
pub use settings::{Environment, SecretHeader, StorageSettings, TimeOuts};

use crate::Location;

/// What a storage calls one state of an object (an entity tag, a generation, a content hash).
/// Opaque: it is compared and handed back, never read as a hash of the content.
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

/// An object as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name, without the folder.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// When it was written, by the storage's clock, where that is known. For people to see: no
    /// decision compares it.
    pub modified: Option<SystemTime>,
}

/// The answer of a storage.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, StorageError>>;

/// A place that keeps objects by key, with writes that compare.
///
/// Keys are relative to the location, segments are parted by `/`, and every segment is made of
/// letters, digits, `.`, `_`, `-`, `+`, never starting with a dot. Every operation answers within
/// the time-outs of the storage; none retries.
pub trait Storage: fmt::Debug + Send + Sync {
    /// The location, for messages and status.
    fn location(&self) -> &str;

    /// Whether objects can be written at all; where not, every write is
    /// [`ErrorKind::Unsupported`].
    fn writable(&self) -> bool;

    /// Reads an object of at most `limit` bytes. With a `known` version that is still the current
    /// one the answer is [`ErrorKind::NotModified`].
    fn get<'a>(
        &'a self,
        key: &'a str,
        known: Option<&'a Version>,
        limit: u64,
    ) -> Answer<'a, Object>;

    /// Writes an object, whatever is there.
    fn put<'a>(&'a self, key: &'a str, bytes: Bytes) -> Answer<'a, Version>;

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

    /// The objects directly below the folder `prefix`, in no order; at most [`LIST_LIMIT`].
    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<Listed>>;

    /// The names of the folders directly below the location.
    fn folders(&self) -> Answer<'_, Vec<String>>;

    /// Deletes an object; one that is gone already is no error.
    fn delete<'a>(&'a self, key: &'a str) -> Answer<'a, ()>;
}

/// How many objects a list returns at most.
pub const LIST_LIMIT: usize = 10_000;

/// Opens the storage at `location`; no request is made yet.
///
/// # Errors
///
/// [`ErrorKind::Invalid`] when settings or variables cannot be used.
pub fn open(
    location: &Location,
    settings: &StorageSettings,
) -> Result<Arc<dyn Storage>, StorageError> {
    Ok(match location {
        Location::S3 { bucket, prefix } => Arc::new(s3::open(location, bucket, prefix, settings)?),
        Location::Gcs { bucket, prefix } => {
            Arc::new(gcs::open(location, bucket, prefix, settings)?)
        }
        Location::Azure {
            account,
            container,
            prefix,
        } => Arc::new(azure::open(
            location,
            (account, container, prefix),
            settings,
        )?),
        Location::Https { url } => Arc::new(https::Https::open(location, url, settings)?),
        Location::Directory { path } => Arc::new(directory::Directory::new(
            location.to_string(),
            path.clone(),
            settings.time_outs.operation,
        )),
    })
}
