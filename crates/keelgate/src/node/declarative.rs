//! Nodes without a database: configured whole, by a file or through `POST /config`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use anyhow::{Context, Result, anyhow};
use keelgate_admin::{LoadError, Loader, Mode};
use keelgate_entities::declarative::{self, DeclarativeError, Table};
use keelgate_settings::Settings;
use keelgate_snapshot::Position;
use keelgate_store::{MemoryStore, Store, StoreError};
use uuid::Uuid;

use super::activation::Activation;
use super::common::Common;
use super::running::Running;
use super::{feed, served};

/// Kong's hash of no configuration.
const NOTHING: &str = "00000000000000000000000000000000";

/// Starts the node.
pub(crate) async fn start(mut common: Common) -> Result<Running> {
    let settings = Arc::clone(&common.settings);
    let store = Arc::new(MemoryStore::new(Arc::clone(&common.schemas)));
    let whole = Arc::new(Whole {
        store: Arc::clone(&store),
        activation: Arc::clone(&common.activation),
        cluster_id: common.node_id,
        loaded: Mutex::new(Loaded {
            hash: NOTHING.to_owned(),
            revision: 0,
        }),
        ending: Arc::clone(&common.ending),
    });
    let loading = (Arc::clone(&whole), Arc::clone(&settings));
    tokio::task::spawn_blocking(move || loading.0.load_from(&loading.1))
        .await
        .context("reading the declarative configuration failed")??;
    let proxy = served::proxy_settings(&settings).await?;
    let proxy = keelgate_proxy::Proxy::start(proxy, common.activation.shared())?;
    common.reports.add_only_source("declarative");
    let ready = common.ready_when_serving();
    let mode = Mode::Dbless(Arc::clone(&whole) as Arc<dyn Loader>);
    let tasks = common.start_apis(store as Arc<dyn Store>, mode, None, ready);
    Ok(Running {
        settings,
        log: common.log.clone(),
        proxy: Some(proxy),
        backup: None,
        tasks,
        stop: common.stop.clone(),
        ending: Arc::clone(&common.ending),
        reload: Some(Box::new(move |settings| whole.load_from(settings))),
    })
}

/// The whole configuration: what is shown (the store) and what serves, replaced together.
struct Whole {
    store: Arc<MemoryStore>,
    activation: Arc<Activation>,
    /// What its snapshots say they belong to: a node without a database is a cluster of its own.
    cluster_id: Uuid,
    loaded: Mutex<Loaded>,
    ending: Arc<AtomicBool>,
}

/// Which configuration was loaded last.
struct Loaded {
    hash: String,
    revision: u64,
}

impl Whole {
    /// Loads what `declarative_config` or `declarative_config_string` names; nothing when neither
    /// is set.
    fn load_from(&self, settings: &Settings) -> Result<()> {
        let database = &settings.database;
        let (text, origin) = match (
            &database.declarative_config,
            &database.declarative_config_string,
        ) {
            (Some(path), _) => {
                let text = std::fs::read_to_string(path).with_context(|| {
                    format!("declarative_config: cannot read {}", path.display())
                })?;
                (text, path.display().to_string())
            }
            (None, Some(text)) => (
                text.expose().to_owned(),
                "declarative_config_string".to_owned(),
            ),
            (None, None) => return Ok(()),
        };
        let document =
            declarative::parse_text(&text).map_err(|error| anyhow!("{origin}: {error}"))?;
        let table = declarative::parse(document, self.store.schemas(), SystemTime::now())
            .map_err(|refused| anyhow!("{origin}: {}", refused.error))?;
        self.load(table, &keelgate_admin::config_hash(&text))
            .map_err(|error| anyhow!("{origin}: {error}"))
    }
}

impl Loader for Whole {
    fn load(&self, table: Table, hash: &str) -> Result<(), LoadError> {
        if self.ending.load(Ordering::Relaxed) {
            return Err(LoadError::Stopping);
        }
        let mut loaded = self.loaded.try_lock().map_err(|_| LoadError::Busy)?;
        let failed = |error: anyhow::Error| LoadError::Failed(format!("{error:#}"));
        let revision = loaded.revision + 1;
        let position = Position {
            cluster_id: self.cluster_id,
            epoch: 1,
            revision,
        };
        let snapshot = feed::build(&table, position, None).map_err(failed)?;
        let prepared = self.activation.prepare(&snapshot).map_err(failed)?;
        self.store.load(&table).map_err(|error| match error {
            StoreError::Rejected(error) => LoadError::Refused(DeclarativeError::from(error)),
            error => LoadError::Failed(error.to_string()),
        })?;
        prepared.serve();
        *loaded = Loaded {
            hash: hash.to_owned(),
            revision,
        };
        Ok(())
    }

    fn hash(&self) -> String {
        self.loaded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .hash
            .clone()
    }
}
