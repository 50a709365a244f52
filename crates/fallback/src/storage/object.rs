//! What the storages of the cloud vendors share: the operations over `object_store`, and the
//! meaning of their failures.
//!
//! A vendor adds its builder, its credentials and its words; see `s3`.

mod client;
mod exchange;
mod failure;

use std::fmt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    Attributes, Error, GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions,
    PutPayload, UpdateVersion,
};

use super::place::{Failure, Place};
use super::{
    Answer, ErrorKind, LIST_LIMIT, Listed, Object, Operation, Storage, StorageError, Version,
};

pub(super) use client::{client_options, no_retries};
pub(super) use exchange::{Connector, retry_after};
pub(super) use failure::NoCredentials;

use exchange::watched;
use failure::failure;

/// Largest answer to a write or a delete, in bytes.
const ANSWER_LIMIT: u64 = 64 << 10;

/// Largest page of a list, in bytes; a thousand entries of a kilobyte are large.
const LISTS_LIMIT: u64 = 4 << 20;

/// By what a vendor compares the states of an object.
#[derive(Clone, Copy, Debug)]
pub(super) enum Compared {
    /// The entity tag (S3, Azure).
    ETag,
    /// The generation (Google); the entity tag serves conditional reads.
    Generation,
}

/// Deletes one object with a request of its own; that one is gone already is no error.
pub(super) trait Delete: Send + Sync {
    fn delete<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, object_store::Result<()>>;
}

/// A bucket or container behind `object_store`.
pub(super) struct ObjectStorage {
    pub(super) place: Place,
    /// Reads, lists and deletes.
    pub(super) reader: Arc<dyn ObjectStore>,
    /// Writes; some vendors are told more with a write than with other requests.
    pub(super) writer: Arc<dyn ObjectStore>,
    /// Deletes in place of the reader, where that one deletes in batches only.
    pub(super) deleter: Option<Box<dyn Delete>>,
    /// Prefix of every key.
    pub(super) prefix: Path,
    /// What every object is given.
    pub(super) attributes: Attributes,
    pub(super) compared: Compared,
}

/// Reads the prefix of a location.
pub(super) fn prefix(place: &Place, prefix: &str) -> Result<Path, StorageError> {
    Path::parse(prefix).map_err(|error| place.invalid(error))
}

impl ObjectStorage {
    fn path(&self, key: &str) -> Path {
        self.prefix.parts().chain(Path::from(key).parts()).collect()
    }

    async fn write(&self, key: &str, bytes: Bytes, mode: PutMode) -> Result<Version, Failure> {
        let options = PutOptions {
            mode,
            attributes: self.attributes.clone(),
            ..PutOptions::default()
        };
        let path = self.path(key);
        let put = self
            .writer
            .put_opts(&path, PutPayload::from_bytes(bytes), options);
        let result = watched(ANSWER_LIMIT, put).await.map_err(failure)?;
        self.compared.version(result.e_tag, result.version)
    }

    async fn read(
        &self,
        key: &str,
        known: Option<&Version>,
        limit: u64,
    ) -> Result<Object, Failure> {
        let options = GetOptions {
            if_none_match: known.and_then(|known| self.compared.e_tag(known)),
            ..GetOptions::default()
        };
        let path = self.path(key);
        let result = watched(limit, self.reader.get_opts(&path, options)).await;
        let result = result.map_err(failure)?;
        let size = result.meta.size;
        if size > limit {
            return Err(Failure::too_large(limit));
        }
        let ObjectMeta { e_tag, version, .. } = result.meta.clone();
        let version = self.compared.version(e_tag, version)?;
        if known == Some(&version) {
            // The condition was lost on the way.
            return Err(Failure::bare(ErrorKind::NotModified));
        }
        let mut bytes = BytesMut::with_capacity(usize::try_from(size).unwrap_or_default());
        let mut stream = result.into_stream();
        while let Some(chunk) = stream
            .try_next()
            .await
            .map_err(|error| failure((error, None)))?
        {
            if (bytes.len() + chunk.len()) as u64 > limit {
                return Err(Failure::too_large(limit));
            }
            bytes.extend_from_slice(&chunk);
        }
        if bytes.len() as u64 != size {
            return Err(Failure::new(
                ErrorKind::Unavailable,
                format_args!("the answer ended after {} of {size} bytes", bytes.len()),
            ));
        }
        Ok(Object {
            bytes: bytes.freeze(),
            version,
        })
    }

    async fn listed(&self, folder: &Path) -> Result<Vec<Listed>, Failure> {
        let objects = self.reader.list(Some(folder)).take(LIST_LIMIT);
        let listed = objects.try_filter_map(|meta| {
            let name = meta.location.prefix_match(folder).and_then(|mut rest| {
                let name = rest.next()?;
                rest.next().is_none().then(|| name.as_ref().to_owned())
            });
            let listed = name.map(|name| Listed {
                name,
                bytes: meta.size,
                modified: Some(meta.last_modified.into()),
            });
            async move { Ok(listed) }
        });
        let listed = watched(LISTS_LIMIT, listed.try_collect()).await;
        listed.map_err(failure)
    }

    async fn folder_names(&self) -> Result<Vec<String>, Failure> {
        let root = (!self.prefix.as_ref().is_empty()).then_some(&self.prefix);
        let listed = watched(LISTS_LIMIT, self.reader.list_with_delimiter(root)).await;
        let listed = listed.map_err(failure)?;
        Ok(listed
            .common_prefixes
            .iter()
            .filter_map(|path| path.filename().map(str::to_owned))
            .collect())
    }

    async fn remove(&self, key: &str) -> Result<(), Failure> {
        let path = self.path(key);
        let delete = async {
            match &self.deleter {
                Some(deleter) => deleter.delete(&path).await,
                None => self.reader.delete(&path).await,
            }
        };
        match watched(ANSWER_LIMIT, delete).await {
            Ok(()) | Err((Error::NotFound { .. }, _)) => Ok(()),
            Err(error) => Err(failure(error)),
        }
    }
}

impl fmt::Debug for ObjectStorage {
    /// The clients are left out: some show their credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectStorage")
            .field("place", &self.place)
            .field("compared", &self.compared)
            .finish_non_exhaustive()
    }
}

impl Storage for ObjectStorage {
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
        let work = self.read(key, known, limit);
        Box::pin(self.place.run(Operation::Read, key, work))
    }

    fn put<'a>(&'a self, key: &'a str, bytes: Bytes) -> Answer<'a, Version> {
        let work = self.write(key, bytes, PutMode::Overwrite);
        Box::pin(self.place.run(Operation::Write, key, work))
    }

    fn put_if_absent<'a>(&'a self, key: &'a str, bytes: Bytes) -> Answer<'a, Version> {
        let work = self.write(key, bytes, PutMode::Create);
        Box::pin(self.place.run(Operation::Create, key, work))
    }

    fn put_if_match<'a>(
        &'a self,
        key: &'a str,
        bytes: Bytes,
        expected: &'a Version,
    ) -> Answer<'a, Version> {
        let work = async move {
            let mode = PutMode::Update(self.compared.update(expected));
            // 409 to a replace is a concurrent request, not an answer about the version.
            self.write(key, bytes, mode).await.map_err(|failure| {
                let kind = match failure.kind {
                    ErrorKind::AlreadyExists => ErrorKind::Unavailable,
                    kind => kind,
                };
                Failure { kind, ..failure }
            })
        };
        Box::pin(self.place.run(Operation::Replace, key, work))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<Listed>> {
        let work = async move { self.listed(&self.path(prefix)).await };
        Box::pin(self.place.run(Operation::List, prefix, work))
    }

    fn folders(&self) -> Answer<'_, Vec<String>> {
        Box::pin(self.place.run(Operation::List, "", self.folder_names()))
    }

    fn delete<'a>(&'a self, key: &'a str) -> Answer<'a, ()> {
        Box::pin(self.place.run(Operation::Delete, key, self.remove(key)))
    }
}

impl Compared {
    fn version(
        self,
        e_tag: Option<String>,
        generation: Option<String>,
    ) -> Result<Version, Failure> {
        let missing = |what| {
            Failure::new(
                ErrorKind::Unsupported,
                format_args!("the storage answered without {what}"),
            )
        };
        let e_tag = e_tag.ok_or_else(|| missing("an ETag"))?;
        Ok(Version(match self {
            Self::ETag => e_tag,
            Self::Generation => {
                let generation = generation.ok_or_else(|| missing("a generation"))?;
                format!("{generation} {e_tag}")
            }
        }))
    }

    fn e_tag(self, version: &Version) -> Option<String> {
        match self {
            Self::ETag => Some(version.0.clone()),
            Self::Generation => version.0.split_once(' ').map(|(_, e_tag)| e_tag.to_owned()),
        }
    }

    fn update(self, version: &Version) -> UpdateVersion {
        let generation = match self {
            Self::ETag => None,
            Self::Generation => version.0.split(' ').next().map(str::to_owned),
        };
        UpdateVersion {
            e_tag: self.e_tag(version),
            version: generation,
        }
    }
}
