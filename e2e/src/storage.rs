//! The storage under test, reached directly: what an operator's own tools would do to it.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

/// A fresh, empty place in a storage.
pub struct Storage {
    /// What `cluster_fallback_config_storage` is set to.
    pub url: String,
    /// Further environment of a node that uses it.
    pub environment: Vec<(String, String)>,
    store: Arc<dyn ObjectStore>,
    prefix: String,
}

impl Storage {
    /// A fresh prefix in the bucket of the S3 server that `cargo xtask test` has started.
    pub fn s3() -> Self {
        let setting = |name: &str| {
            std::env::var(name).unwrap_or_else(|_| {
                panic!("{name} is not set: these tests need an S3 server, which `cargo xtask test` starts")
            })
        };
        let endpoint = setting("KEELGATE_TEST_S3_ENDPOINT");
        let bucket = setting("KEELGATE_TEST_S3_BUCKET");
        let key = setting("KEELGATE_TEST_S3_ACCESS_KEY_ID");
        let secret = setting("KEELGATE_TEST_S3_SECRET_ACCESS_KEY");
        let store = AmazonS3Builder::new()
            .with_endpoint(&endpoint)
            .with_allow_http(true)
            .with_bucket_name(&bucket)
            .with_region("us-east-1")
            .with_access_key_id(&key)
            .with_secret_access_key(&secret)
            .build()
            .expect("the settings of the test server are complete");
        let prefix = format!("e2e/{}", uuid::Uuid::new_v4());
        Self {
            url: format!("s3://{bucket}/{prefix}"),
            environment: vec![
                ("AWS_CONFIG_STORAGE_ENDPOINT".into(), endpoint),
                ("AWS_ACCESS_KEY_ID".into(), key),
                ("AWS_SECRET_ACCESS_KEY".into(), secret),
                ("AWS_REGION".into(), "us-east-1".into()),
            ],
            store: Arc::new(store),
            prefix,
        }
    }

    /// A directory.
    pub fn directory(path: PathBuf) -> Self {
        std::fs::create_dir_all(&path).expect("make the storage directory");
        Self {
            url: format!("file://{}", path.display()),
            environment: Vec::new(),
            store: Arc::new(LocalFileSystem::new_with_prefix(&path).expect("the directory exists")),
            prefix: String::new(),
        }
    }

    fn path(&self, key: &str) -> Path {
        Path::from(format!("{}/{key}", self.prefix).trim_start_matches('/'))
    }

    /// The key of the newest snapshot for this build.
    pub fn config_key() -> String {
        format!("{}/config.json", env!("CARGO_PKG_VERSION"))
    }

    /// Reads an object; `None` when it does not exist.
    pub async fn read(&self, key: &str) -> Option<Bytes> {
        match self.store.get(&self.path(key)).await {
            Ok(found) => Some(found.bytes().await.expect("read the object's body")),
            Err(object_store::Error::NotFound { .. }) => None,
            Err(error) => panic!("read {key}: {error}"),
        }
    }

    /// Replaces an object, whatever it holds.
    pub async fn write(&self, key: &str, body: impl Into<Bytes>) {
        self.store
            .put(&self.path(key), body.into().into())
            .await
            .expect("write the object");
    }

    /// Removes an object.
    pub async fn remove(&self, key: &str) {
        self.store
            .delete(&self.path(key))
            .await
            .expect("remove the object");
    }

    /// Every key under a directory.
    pub async fn list(&self, under: &str) -> Vec<String> {
        let found: Vec<_> = self
            .store
            .list(Some(&self.path(under)))
            .try_collect()
            .await
            .expect("list the storage");
        let start = if self.prefix.is_empty() {
            0
        } else {
            self.prefix.len() + 1
        };
        let mut keys: Vec<String> = found
            .into_iter()
            .map(|object| object.location.to_string()[start..].to_owned())
            .collect();
        keys.sort();
        keys
    }
}
