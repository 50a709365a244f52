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
use super::feed;
use super::running::{InMemory, Running};
use crate::handover::Configuration;

/// Kong's hash of no configuration.
const NOTHING: &str = "00000000000000000000000000000000";

/// Starts the node.
pub(crate) async fn start(mut common: Common) -> Result<Running> {
    let settings = Arc::clone(&common.settings);
    let store = Arc::new(MemoryStore::new(Arc::clone(&common.schemas)));
    common.keep_records(Arc::clone(&store) as Arc<dyn Store>);
    let whole = Arc::new(Whole {
        store: Arc::clone(&store),
        activation: Arc::clone(&common.activation),
        cluster_id: common.node_id,
        loaded: Mutex::new(Loaded {
            hash: NOTHING.to_owned(),
            revision: 0,
        }),
        ending: Arc::clone(&common.ending),
        held: AtomicBool::new(false),
    });
    let loading = (Arc::clone(&whole), Arc::clone(&settings));
    let inherited = common.take_configuration();
    tokio::task::spawn_blocking(move || match inherited {
        Some(configuration) => loading.0.load_inherited(&configuration),
        None => loading.0.load_from(&loading.1),
    })
    .await
    .context("reading the declarative configuration failed")??;
    let front = common.start_proxy().await?;
    common.reports.add_only_source("declarative");
    let ready = common.ready_when_serving();
    let mode = Mode::Dbless(Arc::clone(&whole) as Arc<dyn Loader>);
    let tasks = common.start_apis(store as Arc<dyn Store>, mode, None, ready);
    Ok(Running {
        front: Some(front),
        tasks,
        in_memory: Some(Arc::clone(&whole) as Arc<dyn InMemory>),
        reload: Some(Box::new(move |settings| whole.load_from(settings))),
        ..common.run()
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
    /// Set while another process is handed what serves here: a change would be lost.
    held: AtomicBool,
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

    /// Loads what the process before this one served.
    fn load_inherited(&self, configuration: &Configuration) -> Result<()> {
        let document = serde_json::from_slice(&configuration.document)?;
        let table = declarative::parse(document, self.store.schemas(), SystemTime::now())
            .map_err(|refused| anyhow!("what was served before: {}", refused.error))?;
        self.load(table, &configuration.hash)
            .map_err(|error| anyhow!("what was served before: {error}"))
    }
}

impl InMemory for Whole {
    fn hold(&self, settings: &Settings) -> Result<Option<Configuration>> {
        let loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        self.held.store(true, Ordering::Relaxed);
        let database = &settings.database;
        let is_in_settings =
            database.declarative_config.is_some() || database.declarative_config_string.is_some();
        if is_in_settings || loaded.revision == 0 {
            return Ok(None);
        }
        let table = self.store.table()?;
        Ok(Some(Configuration {
            hash: loaded.hash.clone(),
            document: serde_json::to_vec(&declarative::dump(&table))?,
        }))
    }

    fn release(&self) {
        self.held.store(false, Ordering::Relaxed);
    }
}

impl Loader for Whole {
    fn load(&self, table: Table, hash: &str) -> Result<(), LoadError> {
        if self.ending.load(Ordering::Relaxed) {
            return Err(LoadError::Stopping);
        }
        let mut loaded = self.loaded.try_lock().map_err(|_| LoadError::Busy)?;
        if self.held.load(Ordering::Relaxed) {
            return Err(LoadError::Busy);
        }
        let failed = |error: anyhow::Error| LoadError::Failed(format!("{error:#}"));
        let revision = loaded.revision + 1;
        let position = Position {
            cluster_id: self.cluster_id,
            epoch: 1,
            revision,
        };
        let snapshot = feed::build(table.clone(), position, None).map_err(failed)?;
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
