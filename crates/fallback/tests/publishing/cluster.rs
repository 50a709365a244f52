//! A cluster with a key, its publishers and its readers.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use keelgate_fallback::{
    Fetcher, Location, PublishSettings, Publisher, PublisherSettings, PublisherState,
    PublisherStatus, Storage, StorageSettings, Verify, open,
};
use keelgate_snapshot::{Position, Signer, Snapshot, Verifier, build};
use tokio::sync::watch;
use tokio::time::timeout;
use uuid::Uuid;

use crate::s3_server;

pub(crate) const VERSION: &str = "0.1.0";
pub(crate) const LIMIT: u64 = 1 << 20;

/// A cluster's key.
pub(crate) struct Cluster {
    pub(crate) signer: Signer,
    pub(crate) verify: Verify,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(vec!["kong_clustering".into()])
            .unwrap()
            .self_signed(&key)
            .unwrap();
        let verifier = Verifier::shared(&certificate.pem()).unwrap();
        Self {
            signer: Signer::from_pem(&certificate.pem(), &key.serialize_pem()).unwrap(),
            verify: Arc::new(move |document| verifier.verify(document)),
        }
    }

    pub(crate) fn snapshot(&self, revision: u64) -> Snapshot {
        self.snapshot_of(Uuid::from_u128(1), revision)
    }

    pub(crate) fn snapshot_of(&self, cluster_id: Uuid, revision: u64) -> Snapshot {
        self.stated(cluster_id, revision, SystemTime::now())
    }

    pub(crate) fn stated(
        &self,
        cluster_id: Uuid,
        revision: u64,
        created_at: SystemTime,
    ) -> Snapshot {
        let config = serde_json::json!({
            "_format_version": "3.0",
            "services": [{"id": Uuid::from_u128(u128::from(revision)), "host": "upstream.example"}],
        });
        let position = Position {
            cluster_id,
            epoch: 1,
            revision,
        };
        build(&config, position, VERSION, created_at, Some(&self.signer)).unwrap()
    }

    /// A publisher that does not take its time.
    pub(crate) fn publisher(
        &self,
        storage: &Arc<dyn Storage>,
        snapshots: &watch::Receiver<Option<Snapshot>>,
    ) -> Publisher {
        self.publisher_with(&quick_settings(), storage, snapshots)
    }

    pub(crate) fn publisher_with(
        &self,
        settings: &PublisherSettings,
        storage: &Arc<dyn Storage>,
        snapshots: &watch::Receiver<Option<Snapshot>>,
    ) -> Publisher {
        Publisher::start(
            &[Arc::clone(storage)],
            settings,
            &self.verify,
            None,
            snapshots,
        )
    }

    pub(crate) fn fetcher(&self, storage: &Arc<dyn Storage>) -> Fetcher {
        Fetcher::new(Arc::clone(storage), VERSION, Arc::clone(&self.verify))
    }
}

/// Those of production, for a node of its own.
pub(crate) fn settings() -> PublisherSettings {
    PublisherSettings {
        node_id: Uuid::new_v4(),
        hostname: "host".into(),
        version: VERSION.into(),
        history: 3,
        lease: keelgate_fallback::DEFAULT_LEASE,
        pace: PublishSettings::default(),
        seal: None,
    }
}

/// For tests in real time.
pub(crate) fn quick_settings() -> PublisherSettings {
    PublisherSettings {
        lease: Duration::from_secs(2),
        pace: PublishSettings {
            delay: Duration::from_millis(20),
            gap: Duration::from_millis(10),
            check: Duration::from_millis(200),
            check_unfenced: Duration::from_millis(200),
            relief: Duration::from_secs(5),
            retry_base: Duration::from_millis(20),
            retry_cap: Duration::from_millis(200),
        },
        ..settings()
    }
}

pub(crate) fn directory(path: &Path) -> Arc<dyn Storage> {
    let location = Location::Directory { path: path.into() };
    open(&location, &StorageSettings::default()).unwrap()
}

pub(crate) fn s3() -> Arc<dyn Storage> {
    let (location, settings) = s3_server::fresh();
    open(&location, &settings).unwrap()
}

/// Waits until a status fulfils a condition, for minutes at most: of real time, or of simulated
/// time, which costs nothing.
pub(crate) async fn until(
    status: &watch::Receiver<PublisherStatus>,
    condition: impl Fn(&PublisherStatus) -> bool,
) -> PublisherStatus {
    let mut watched = status.clone();
    let waited = watched.wait_for(|status| condition(status));
    match timeout(Duration::from_secs(180), waited).await {
        Ok(reached) => reached.unwrap().clone(),
        Err(_) => panic!("never reached; the status is {:?}", status.borrow()),
    }
}

pub(crate) fn stored(revision: u64) -> impl Fn(&PublisherStatus) -> bool {
    move |status| {
        status.state == PublisherState::Stored
            && status
                .stored
                .is_some_and(|identity| identity.revision == revision)
    }
}

/// Puts bytes in the place of an object.
pub(crate) async fn overwrite(
    storage: &Arc<dyn Storage>,
    key: &str,
    bytes: impl Into<bytes::Bytes>,
) {
    let object = storage.get(key, None, LIMIT).await.unwrap();
    storage
        .put_if_match(key, bytes.into(), &object.version)
        .await
        .unwrap();
}

/// Waits until the index names a version, which its leader does after the first publication.
pub(crate) async fn indexed(storage: &Arc<dyn Storage>, version: &str) {
    let named = async {
        loop {
            let index = storage.get("index.json", None, LIMIT).await;
            let text = index.map(|object| String::from_utf8(object.bytes.to_vec()).unwrap());
            if text.is_ok_and(|text| text.contains(&format!("{version:?}"))) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let named = timeout(Duration::from_secs(60), named).await;
    assert!(named.is_ok(), "{version} is not in the index");
}
