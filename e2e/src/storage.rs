//! The storage under test, reached directly: what an operator's own tools would do to it.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::{GcpCredential, GoogleCloudStorageBuilder};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStore, ObjectStoreExt, StaticCredentialProvider};

use crate::{s3, wait};

/// A fresh, empty place in a storage.
pub struct Storage {
    /// What `cluster_fallback_config_storage` is set to.
    pub url: String,
    /// Further environment of a node that uses it.
    pub environment: Vec<(String, String)>,
    store: Arc<dyn ObjectStore>,
    prefix: String,
}

fn fresh_prefix() -> String {
    format!("e2e/{}", uuid::Uuid::new_v4())
}

/// A variable by which a program under test, or one that tests, is found.
pub fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: this test needs a server that `cargo xtask test` starts, or, for Garage, `cargo xtask long`")
    })
}

impl Storage {
    /// A fresh prefix in the bucket of the S3 server that `cargo xtask test` has started.
    pub fn s3() -> Self {
        Self::on(&s3::Server::under_test())
    }

    /// A fresh prefix in the bucket of Garage, which only the long suite starts.
    pub fn garage() -> Self {
        Self::on(&s3::Server::garage())
    }

    /// A fresh prefix on an S3 server.
    pub fn on(server: &s3::Server) -> Self {
        let store = AmazonS3Builder::new()
            .with_endpoint(&server.endpoint)
            .with_allow_http(true)
            .with_bucket_name(&server.bucket)
            .with_region(s3::REGION)
            .with_access_key_id(&server.key)
            .with_secret_access_key(&server.secret)
            .build()
            .expect("the settings of the test server are complete");
        let prefix = fresh_prefix();
        Self {
            url: format!("s3://{}/{prefix}", server.bucket),
            environment: vec![
                (
                    "AWS_CONFIG_STORAGE_ENDPOINT".into(),
                    server.endpoint.clone(),
                ),
                ("AWS_ACCESS_KEY_ID".into(), server.key.clone()),
                ("AWS_SECRET_ACCESS_KEY".into(), server.secret.clone()),
                ("AWS_REGION".into(), s3::REGION.into()),
            ],
            store: Arc::new(store),
            prefix,
        }
    }

    /// The same place, which nodes reach through `proxy`.
    pub fn behind(mut self, proxy: &s3::Proxy) -> Self {
        self.environment
            .push(("AWS_CONFIG_STORAGE_ENDPOINT".into(), proxy.endpoint.clone()));
        self
    }

    /// The prefix of every key, without slashes at its ends.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// A fresh prefix in the bucket of the Google Cloud Storage server under test.
    pub fn gcs() -> Self {
        let setting = |name| variable(&format!("KEELGATE_TEST_GCS_{name}"));
        let (endpoint, bucket) = (setting("ENDPOINT"), setting("BUCKET"));
        // What asks for no credentials takes any token.
        let token = GcpCredential {
            bearer: "test".into(),
        };
        let store = GoogleCloudStorageBuilder::new()
            .with_base_url(&endpoint)
            .with_bucket_name(&bucket)
            .with_credentials(Arc::new(StaticCredentialProvider::new(token)))
            .with_client_options(ClientOptions::new().with_allow_http(true))
            .build()
            .expect("the settings of the test server are complete");
        let prefix = fresh_prefix();
        Self {
            url: format!("gcs://{bucket}/{prefix}"),
            environment: vec![
                ("GCP_CONFIG_STORAGE_ENDPOINT".into(), endpoint),
                ("GOOGLE_OAUTH_ACCESS_TOKEN".into(), "test".into()),
            ],
            store: Arc::new(store),
            prefix,
        }
    }

    /// A fresh prefix in the container of the Azure Blob Storage server under test.
    pub fn azure() -> Self {
        let setting = |name| variable(&format!("KEELGATE_TEST_AZURE_{name}"));
        let (endpoint, key) = (setting("ENDPOINT"), setting("ACCOUNT_KEY"));
        let (account, container) = (setting("ACCOUNT"), setting("CONTAINER"));
        let store = MicrosoftAzureBuilder::new()
            .with_endpoint(endpoint.clone())
            .with_account(&account)
            .with_access_key(&key)
            .with_container_name(&container)
            .with_allow_http(true)
            .build()
            .expect("the settings of the test server are complete");
        let prefix = fresh_prefix();
        Self {
            url: format!("azure://{account}/{container}/{prefix}"),
            environment: vec![
                ("AZURE_CONFIG_STORAGE_ENDPOINT".into(), endpoint),
                ("AZURE_STORAGE_KEY".into(), key),
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
        Self::key("config.json")
    }

    /// The key of an object of this build.
    pub fn key(name: &str) -> String {
        format!("{}/{name}", env!("CARGO_PKG_VERSION"))
    }

    /// Reads an object; `None` when it does not exist.
    pub async fn read(&self, key: &str) -> Option<Bytes> {
        match self.store.get(&self.path(key)).await {
            Ok(found) => Some(found.bytes().await.expect("read the object's body")),
            Err(object_store::Error::NotFound { .. }) => None,
            Err(error) => panic!("read {key}: {error}"),
        }
    }

    /// Waits until the newest snapshot for this build contains `text` and the history has begun, and
    /// returns it. The very first snapshot is written before its copy in the history.
    pub async fn holds(&self, text: &str) -> Bytes {
        wait::until("the snapshot in the storage", || async {
            let body = self
                .read(&Self::config_key())
                .await
                .ok_or("no config.json yet")?;
            if !String::from_utf8_lossy(&body).contains(text) {
                return Err("config.json is older");
            }
            // A directory also lists what is being written, under names of its own.
            let history = self.list(&Self::key("history")).await;
            match history.iter().any(|key| key.ends_with(".json")) {
                true => Ok(body),
                false => Err("the history is empty"),
            }
        })
        .await
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
