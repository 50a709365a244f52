//! Data planes: the choice of a configuration, the proxy that serves it, and, on backup nodes, the
//! publisher that passes it on.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, anyhow};
use keelgate_admin::Mode;
use keelgate_entities::declarative;
use keelgate_entities::{KONG_API_VERSION, Schemas};
use keelgate_fallback::Fetcher;
use keelgate_settings::{MaxAgePolicy, Settings};
use keelgate_snapshot::{MAX_DOCUMENT_BYTES, Snapshot};
use keelgate_source::{
    ActivationError, Activator, AgeBound, Arbiter, ControlPlaneLink, SourceSettings, StalePolicy,
    Verifiers,
};
use keelgate_store::{MemoryStore, Store};
use keelgate_sync::{Applied, Client, ClientConfig, ClientLimits};
use serde_json::{Map, Value};
use tokio::sync::{mpsc, watch};

use super::activation::Activation;
use super::common::Common;
use super::running::Running;
use super::storages::storages;
use super::verification::ClusterIdentity;

/// Events of the connection that may wait for the choice to hear them.
const EVENTS: usize = 64;

/// How much larger than `cluster_max_payload` a frame from a control plane may be: that setting
/// guards control planes, and a configuration that has outgrown it must still arrive.
const LARGEST_PAYLOAD: usize = MAX_DOCUMENT_BYTES;

/// Starts the node.
pub(crate) async fn start(mut common: Common) -> Result<Running> {
    let settings = Arc::clone(&common.settings);
    let cluster = ClusterIdentity::read(&settings)?;
    let front = common.start_proxy().await?;

    let (events, heard) = mpsc::channel(EVENTS);
    let (applied, applies) = watch::channel(Applied::default());
    let client =
        Client::new(client_config(&common, &cluster)).context("cannot reach control planes")?;
    tokio::spawn(client.run(events, applies));
    let own = cluster.verify_peer();
    let store = Arc::new(MemoryStore::new(Arc::clone(&common.schemas)));
    let age = age_bound(&settings);
    let arbiter = Arbiter::start(
        SourceSettings {
            directory: settings.node.prefix.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            control_planes: settings.cluster.cluster_control_plane.len(),
            deadline: settings.cluster.cluster_connect_deadline.0,
            refresh: settings.fallback.cluster_fallback_config_refresh.0,
            age,
            sealing: cluster.sealing(),
        },
        Some(ControlPlaneLink {
            events: heard,
            applied,
        }),
        fetchers(&settings, &cluster, age)?,
        Verifiers {
            control_plane: Arc::clone(&own),
            cache: own,
            delta: Some(cluster.verify_delta()),
        },
        Arc::new(Served {
            activation: Arc::clone(&common.activation),
            schemas: Arc::clone(&common.schemas),
            shown: Arc::clone(&store),
        }),
    );
    common.reports.add_choice(arbiter.report());
    let backup = common.start_backup(&cluster, arbiter.served()).await?;
    let ready = common.ready_when_serving();
    let mut tasks = common.start_apis(store as Arc<dyn Store>, Mode::Database, None, ready);
    let ended = common.term.ended.clone();
    tasks.push(tokio::spawn(async move {
        ended.cancelled().await;
        arbiter.stop().await;
    }));
    Ok(Running {
        front: Some(front),
        backup,
        tasks,
        ..common.run()
    })
}

fn client_config(common: &Common, cluster: &ClusterIdentity) -> ClientConfig {
    let settings = &common.settings.cluster;
    let labels: Map<String, Value> = settings
        .cluster_dp_labels
        .iter()
        .map(|label| (label.key.clone(), label.value.clone().into()))
        .collect();
    // A dial must be over before the decision is due, so that its failure is part of the report.
    let step = (settings.cluster_connect_deadline.0).max(Duration::from_secs(1));
    ClientConfig {
        addresses: settings
            .cluster_control_plane
            .iter()
            .map(ToString::to_string)
            .collect(),
        cert_pem: cluster.cert.clone(),
        key_pem: cluster.key.clone(),
        trust: cluster.trust.clone(),
        node_id: common.node_id,
        hostname: common.hostname.clone(),
        kong_version: KONG_API_VERSION.to_owned(),
        plugins: common.plugins.clone(),
        labels,
        limits: ClientLimits {
            connect: step,
            handshake: step,
            stall: step,
            max_payload: LARGEST_PAYLOAD,
            ..ClientLimits::default()
        },
    }
}

/// How old a configuration may be that no control plane stands behind.
fn age_bound(settings: &Settings) -> AgeBound {
    let policy = match settings.fallback.cluster_fallback_config_max_age_policy {
        MaxAgePolicy::Serve => StalePolicy::Serve,
        MaxAgePolicy::Refuse => StalePolicy::Refuse,
    };
    AgeBound::new(settings.fallback.cluster_fallback_config_max_age.0, policy)
}

/// Reads every storage, where import is on.
fn fetchers(settings: &Settings, cluster: &ClusterIdentity, age: AgeBound) -> Result<Vec<Fetcher>> {
    if !settings.fallback.cluster_fallback_config_import {
        return Ok(Vec::new());
    }
    let verify = age.enforce(cluster.verify());
    let fetcher = |storage| Fetcher::new(storage, env!("CARGO_PKG_VERSION"), Arc::clone(&verify));
    Ok(storages(settings)?.into_iter().map(fetcher).collect())
}

/// The proxy's configuration, for the choice to set.
struct Served {
    activation: Arc<Activation>,
    schemas: Arc<Schemas>,
    /// What the status API tells of upstreams.
    shown: Arc<MemoryStore>,
}

impl Served {
    /// Shows the upstreams of what serves. Nothing serves from there, so that a failure is told and
    /// no more.
    fn show(&self, snapshot: &Snapshot) -> Result<()> {
        // Upstreams refer to certificates.
        let tables = snapshot.tables_of(|kind| {
            kind.starts_with('_')
                || ["certificates", "upstreams", "targets", "workspaces"].contains(&kind)
        })?;
        let table =
            declarative::parse_config_table(tables.into(), &self.schemas, SystemTime::now())
                .map_err(|refused| anyhow!("{}", refused.error))?;
        self.shown.load(&table)?;
        Ok(())
    }
}

impl Activator for Served {
    fn activate(&self, snapshot: &Snapshot) -> Result<(), ActivationError> {
        self.activation
            .activate(snapshot)
            .map_err(|error| ActivationError(format!("{error:#}")))?;
        if let Err(error) = self.show(snapshot) {
            tracing::warn!("the status API cannot tell of the upstreams: {error:#}");
        }
        Ok(())
    }

    fn restate(&self, snapshot: &Snapshot) {
        self.activation.restate(snapshot);
    }
}
