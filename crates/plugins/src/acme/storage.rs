//! Where certificates, accounts and challenges are kept.
//!
//! | module | its one reason |
//! |---|---|
//! | `memory` | the memory of the node (`shm`) |
//! | `database` | the database of the node (`kong`) |
//! | `redis` | Redis |
//! | `consul` | the key-value store of Consul |
//! | `vault` | the key-value store of Vault |
//! | `web` | HTTP towards the last two |

mod consul;
mod database;
mod memory;
mod redis;
pub(crate) mod vault;
pub(crate) mod web;

use std::sync::Arc;
use std::time::Duration;

use crate::records::RecordsError;
use crate::redis::Unanswered;

pub(crate) use consul::Consul;
pub(crate) use database::Database;
pub(crate) use memory::Memory;
pub(crate) use redis::Redis;
pub(crate) use vault::Vault;

/// Where things are kept.
#[derive(Clone)]
pub(crate) enum Storage {
    Memory(Arc<Memory>),
    Database(Database),
    Redis(Redis),
    Consul(Box<Consul>),
    Vault(Box<Vault>),
}

/// Why a storage does not keep or find something.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StorageError {
    #[error("{0}")]
    Redis(#[from] Unanswered),
    #[error("the database does not answer: {0}")]
    Database(#[from] RecordsError),
    #[error("Consul: {0}")]
    Consul(#[from] web::WebError),
    #[error("Vault: {0}")]
    Vault(#[from] vault::VaultError),
    #[error("the memory for certificates is full; use another storage")]
    Full,
}

impl From<memory::Full> for StorageError {
    fn from(_: memory::Full) -> Self {
        Self::Full
    }
}

impl Storage {
    pub(crate) async fn get(&self, key: &str) -> Result<Option<String>, StorageError> {
        match self {
            Self::Memory(memory) => Ok(memory.get(key)),
            Self::Database(database) => Ok(database.get(key).await?),
            Self::Redis(redis) => Ok(redis.get(key).await?),
            Self::Consul(consul) => Ok(consul.get(key).await?),
            Self::Vault(vault) => Ok(vault.get(key).await?),
        }
    }

    /// Keeps a value, for so long or for good.
    pub(crate) async fn set(
        &self,
        key: &str,
        value: &str,
        lasts: Option<Duration>,
    ) -> Result<(), StorageError> {
        self.put(key, value, lasts, false).await.map(drop)
    }

    /// Keeps a value unless there is one; whether there was none.
    pub(crate) async fn add(
        &self,
        key: &str,
        value: &str,
        lasts: Duration,
    ) -> Result<bool, StorageError> {
        self.put(key, value, Some(lasts), true).await
    }

    async fn put(
        &self,
        key: &str,
        value: &str,
        lasts: Option<Duration>,
        only_new: bool,
    ) -> Result<bool, StorageError> {
        match self {
            Self::Memory(memory) => Ok(memory.put(key, value, lasts, only_new)?),
            Self::Database(database) => Ok(database.put(key, value, lasts, only_new).await?),
            Self::Redis(redis) => Ok(redis.put(key, value, lasts, only_new).await?),
            Self::Consul(consul) => Ok(consul.put(key, value, lasts, only_new).await?),
            Self::Vault(vault) => Ok(vault.put(key, value, lasts, only_new).await?),
        }
    }

    pub(crate) async fn delete(&self, key: &str) -> Result<(), StorageError> {
        match self {
            Self::Memory(memory) => memory.delete(key),
            Self::Database(database) => database.delete(key).await?,
            Self::Redis(redis) => redis.delete(key).await?,
            Self::Consul(consul) => consul.delete(key).await?,
            Self::Vault(vault) => vault.delete(key).await?,
        }
        Ok(())
    }

    /// The keys that begin so, in order.
    pub(crate) async fn list(&self, prefix: &str) -> Result<Vec<String>, StorageError> {
        match self {
            Self::Memory(memory) => Ok(memory.list(prefix)),
            Self::Database(database) => Ok(database.list(prefix).await?),
            Self::Redis(redis) => Ok(redis.list(prefix).await?),
            Self::Consul(consul) => Ok(consul.list(prefix).await?),
            Self::Vault(vault) => Ok(vault.list(prefix).await?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::records::InMemory;

    fn storages() -> [Storage; 2] {
        let records = Arc::new(InMemory::new());
        [
            Storage::Memory(Arc::default()),
            Storage::Database(Database::new(records)),
        ]
    }

    #[tokio::test]
    async fn storages_keep_what_they_are_given() {
        let long = Duration::from_secs(3600);
        for storage in storages() {
            assert!(storage.add("lock", "1", long).await.unwrap());
            assert!(!storage.add("lock", "2", long).await.unwrap());
            storage.set("lock", "3", Some(long)).await.unwrap();
            assert_eq!(storage.get("lock").await.unwrap().unwrap(), "3");
            storage.delete("lock").await.unwrap();
            storage.delete("lock").await.unwrap();
            assert_eq!(storage.get("lock").await.unwrap(), None);
            assert!(storage.add("lock", "4", long).await.unwrap());
            storage.set("a:2", "x", None).await.unwrap();
            storage.set("a:1", "y", None).await.unwrap();
            assert_eq!(storage.list("a:").await.unwrap(), ["a:1", "a:2"]);
            storage.delete("a:1").await.unwrap();
            assert_eq!(storage.list("a:").await.unwrap(), ["a:2"]);
        }
    }

    #[tokio::test]
    async fn memory_forgets_in_time() {
        let storage = Storage::Memory(Arc::default());
        storage
            .set("lock", "1", Some(Duration::ZERO))
            .await
            .unwrap();
        assert_eq!(storage.get("lock").await.unwrap(), None);
        let again = storage.add("lock", "2", Duration::from_secs(3600));
        assert!(again.await.unwrap());
    }
}
