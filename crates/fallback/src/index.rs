//! `index.json`: which versions of the software have written into a storage, and whether it
//! compares.
//!
//! A hint for readers that may not list. It is not signed, and trusted for nothing but where to
//! look.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::layout::{INDEX, major, numbers};
use crate::{ErrorKind, Fencing, Storage, StorageError, Version};

/// Largest index that is read.
const INDEX_LIMIT: u64 = 64 << 10;

/// How many versions are kept; the lowest go first.
const VERSIONS_LIMIT: usize = 64;

const SCHEMA: u32 = 1;

/// What the index says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    schema: u32,
    /// The versions that have written.
    pub versions: BTreeMap<String, IndexEntry>,
}

/// What the index says of one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexEntry {
    /// What its last leader found the storage to do.
    pub fencing: Fencing,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            schema: SCHEMA,
            versions: BTreeMap::new(),
        }
    }
}

impl Index {
    /// Reads what somebody wrote; nothing if it is no index of this kind. Names that cannot be the
    /// folder of a version are left out.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut index: Self = serde_json::from_slice(bytes).ok()?;
        index.versions.retain(|version, _| is_version(version));
        (index.schema == SCHEMA).then_some(index)
    }

    /// Sets an entry; tells whether that changed anything.
    fn set(&mut self, version: &str, fencing: Fencing) -> bool {
        let entry = IndexEntry { fencing };
        if self.versions.get(version) == Some(&entry) {
            return false;
        }
        self.versions.insert(version.to_owned(), entry);
        while self.versions.len() > VERSIONS_LIMIT {
            let others = self.versions.keys().filter(|other| *other != version);
            let Some(lowest) = others.min_by_key(|version| numbers(version)).cloned() else {
                break;
            };
            self.versions.remove(&lowest);
        }
        true
    }

    /// What leaders found the storage to do; where one found that it does not compare, it does not.
    fn fencing(&self) -> Fencing {
        let mut entries = self.versions.values();
        match entries.any(|entry| entry.fencing == Fencing::None) {
            true => Fencing::None,
            false => Fencing::Compare,
        }
    }

    fn bytes(&self) -> Bytes {
        serde_json::to_vec(self)
            .expect("texts and words serialise")
            .into()
    }
}

/// Whether a newer build wrote it, whose index this one must leave alone.
fn is_newer(bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Head {
        schema: u32,
    }
    serde_json::from_slice::<Head>(bytes).is_ok_and(|head| head.schema > SCHEMA)
}

/// A plain name with a major number: it becomes a segment of keys.
fn is_version(version: &str) -> bool {
    version.len() <= 64
        && major(version).is_some()
        && version
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte))
}

/// The index as it was read.
pub(crate) struct Found {
    /// Nothing if there is no such object.
    pub(crate) version: Option<Version>,
    /// Nothing if it says nothing.
    pub(crate) index: Option<Index>,
}

/// Reads the index, which may be missing or say nothing. With a `known` version that is still the
/// current one the answer is [`ErrorKind::NotModified`].
pub(crate) async fn read(
    storage: &dyn Storage,
    known: Option<&Version>,
) -> Result<Found, StorageError> {
    match storage.get(INDEX, known, INDEX_LIMIT).await {
        Ok(object) => Ok(Found {
            index: Index::parse(&object.bytes),
            version: Some(object.version),
        }),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(Found {
            version: None,
            index: None,
        }),
        Err(error) => Err(error),
    }
}

/// Makes sure that the index names `version` and its fencing.
pub(crate) async fn record(
    storage: &dyn Storage,
    version: &str,
    fencing: Fencing,
) -> Result<(), StorageError> {
    let (expected, found) = match storage.get(INDEX, None, INDEX_LIMIT).await {
        Ok(object) if is_newer(&object.bytes) => return Ok(()),
        Ok(object) => (Some(object.version), Index::parse(&object.bytes)),
        Err(error) if error.kind == ErrorKind::NotFound => (None, None),
        // Whoever wrote that, it is no index: the write that follows replaces it.
        Err(error) if error.kind == ErrorKind::TooLarge => {
            storage.delete(INDEX).await?;
            (None, None)
        }
        Err(error) => return Err(error),
    };
    let mut index = found.unwrap_or_default();
    if !index.set(version, fencing) {
        return Ok(());
    }
    write(storage, &index, fencing, expected.as_ref()).await
}

/// Takes versions out of the index, if it is still the one that was found.
pub(crate) async fn remove(
    storage: &dyn Storage,
    found: Found,
    versions: &[String],
) -> Result<(), StorageError> {
    let Some(mut index) = found.index else {
        return Ok(());
    };
    let fencing = index.fencing();
    let before = index.versions.len();
    index
        .versions
        .retain(|version, _| !versions.contains(version));
    if index.versions.len() == before {
        return Ok(());
    }
    write(storage, &index, fencing, found.version.as_ref()).await
}

async fn write(
    storage: &dyn Storage,
    index: &Index,
    fencing: Fencing,
    expected: Option<&Version>,
) -> Result<(), StorageError> {
    let bytes = index.bytes();
    match (fencing, expected) {
        (Fencing::None, _) => storage.put(INDEX, bytes).await,
        (Fencing::Compare, None) => storage.put_if_absent(INDEX, bytes).await,
        (Fencing::Compare, Some(expected)) => storage.put_if_match(INDEX, bytes, expected).await,
    }
    .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Location, StorageSettings, open};

    #[test]
    fn a_full_index_loses_the_lowest_version_and_never_the_own() {
        let mut index = Index::default();
        for minor in 0..VERSIONS_LIMIT {
            assert!(index.set(&format!("1.{minor}.0"), Fencing::Compare));
        }
        assert!(!index.set("1.9.0", Fencing::Compare));
        assert!(index.set("0.9.0", Fencing::None));
        assert_eq!(index.versions.len(), VERSIONS_LIMIT);
        assert!(index.versions.contains_key("0.9.0") && index.versions.contains_key("1.10.0"));
        assert!(!index.versions.contains_key("1.0.0"));
    }

    #[test]
    fn what_is_no_index_says_nothing_and_bad_names_are_left_out() {
        for text in ["", "[]", r#"{"schema":2,"versions":{}}"#] {
            assert_eq!(Index::parse(text.as_bytes()), None, "{text}");
            assert_eq!(is_newer(text.as_bytes()), text.contains('2'), "{text}");
        }
        let text = r#"{"schema":1,"versions":{"0.1.0":{"fencing":"none"},
            "../0.1.0":{"fencing":"none"},"notes":{"fencing":"compare"}},"more":1}"#;
        let index = Index::parse(text.as_bytes()).unwrap();
        assert_eq!(index.versions.into_keys().collect::<Vec<_>>(), ["0.1.0"]);
    }

    #[tokio::test]
    async fn what_was_written_since_the_index_was_read_is_not_lost() {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::Directory {
            path: folder.path().into(),
        };
        let storage = open(&location, &StorageSettings::default()).unwrap();
        let storage = storage.as_ref();
        let gone = ["0.0.9".to_owned()];
        for version in ["0.0.9", "0.1.0"] {
            record(storage, version, Fencing::Compare).await.unwrap();
        }
        let stale = read(storage, None).await.unwrap();
        record(storage, "0.2.0", Fencing::Compare).await.unwrap();
        let lost = remove(storage, stale, &gone).await.unwrap_err();
        assert_eq!(lost.kind, ErrorKind::Precondition);
        let found = read(storage, None).await.unwrap();
        remove(storage, found, &gone).await.unwrap();
        let index = read(storage, None).await.unwrap().index.unwrap();
        assert!(index.versions.keys().eq(["0.1.0", "0.2.0"]));
    }

    #[test]
    fn an_index_is_read_as_it_was_written() {
        let mut index = Index::default();
        index.set("0.1.0", Fencing::Compare);
        assert_eq!(
            index.bytes(),
            r#"{"schema":1,"versions":{"0.1.0":{"fencing":"compare"}}}"#
        );
        assert_eq!(Index::parse(&index.bytes()), Some(index));
    }
}
