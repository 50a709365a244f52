//! Nodes with a database: control planes, and `traditional` nodes that also proxy.

use std::sync::Arc;

use anyhow::{Context, Result};
use keelgate_admin::Mode;
use keelgate_entities::KONG_API_VERSION;
use keelgate_settings::Role;
use keelgate_snapshot::Snapshot;
use keelgate_sync::{DataPlanes, Server, ServerConfig, ServerLimits};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::activation::Activation;
use super::common::Common;
use super::feed;
use super::running::Running;
use super::verification::ClusterIdentity;
use crate::database;

/// Starts the node.
pub(crate) async fn start(mut common: Common) -> Result<Running> {
    let settings = Arc::clone(&common.settings);
    let store = database::follow(&settings, Arc::clone(&common.schemas)).await?;
    let mut tasks = Vec::new();
    let (newest, snapshots) = watch::channel(None);
    let (mut front, mut backup) = (None, None);
    let data_planes = if settings.node.role == Role::ControlPlane {
        common.reports.add_built(snapshots.clone());
        let cluster = ClusterIdentity::read(&settings)?;
        let signer = cluster.signer()?;
        let data_planes = DataPlanes::new(settings.cluster.cluster_data_plane_purge_delay.0);
        tasks.push(
            serve_data_planes(
                &mut common,
                &cluster,
                Arc::clone(&data_planes),
                snapshots.clone(),
            )
            .await?,
        );
        let signing = feed::Signing {
            signer,
            max_age: settings.fallback.cluster_fallback_config_max_age.0,
        };
        tokio::spawn(feed::follow(Arc::clone(&store), Some(signing), newest));
        backup = common.start_backup(&cluster, snapshots.clone()).await?;
        common.reports.add_data_planes(Arc::clone(&data_planes));
        Some(data_planes)
    } else {
        common.reports.add_only_source("store");
        common.keep_records(Arc::clone(&store));
        front = Some(common.start_proxy().await?);
        tokio::spawn(feed::follow(Arc::clone(&store), None, newest));
        tasks.push(tokio::spawn(activate_each(
            Arc::clone(&common.activation),
            snapshots.clone(),
            common.term.ended.clone(),
        )));
        None
    };
    let shown =
        data_planes.map(|planes| Arc::new(Shown(planes)) as Arc<dyn keelgate_admin::DataPlanes>);
    tasks.extend(match settings.node.role {
        Role::ControlPlane => {
            let ready = common.ready(
                move || snapshots.borrow().is_some(),
                "the configuration has not been read from the database yet",
            );
            common.start_apis(store, Mode::Database, shown, ready)
        }
        _ => {
            let ready = common.ready_when_serving();
            common.start_apis(store, Mode::Database, shown, ready)
        }
    });
    Ok(Running {
        front,
        backup,
        tasks,
        ..common.run()
    })
}

/// Activates each snapshot that is built, the newest when several waited.
async fn activate_each(
    activation: Arc<Activation>,
    mut snapshots: watch::Receiver<Option<Snapshot>>,
    stop: tokio_util::sync::CancellationToken,
) {
    loop {
        tokio::select! {
            changed = snapshots.changed() => if changed.is_err() { return },
            () = stop.cancelled() => return,
        }
        let Some(snapshot) = snapshots.borrow_and_update().clone() else {
            continue;
        };
        let activation = Arc::clone(&activation);
        let activated = tokio::task::spawn_blocking(move || activation.activate(&snapshot)).await;
        match activated {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(
                "a change cannot be served, what was served before goes on: {error:#}"
            ),
            Err(error) => tracing::error!("activating a change failed: {error}"),
        }
    }
}

async fn serve_data_planes(
    common: &mut Common,
    cluster: &ClusterIdentity,
    data_planes: Arc<DataPlanes>,
    snapshots: watch::Receiver<Option<Snapshot>>,
) -> Result<JoinHandle<()>> {
    let mut listeners = Vec::new();
    for listener in &common.settings.listen.cluster_listen {
        let socket = common.listening.bind("cluster_listen", listener);
        listeners.push(socket.await?);
    }
    let config = ServerConfig {
        cert_pem: cluster.cert.clone(),
        key_pem: cluster.key.clone(),
        trust: cluster.trust.clone(),
        kong_version: KONG_API_VERSION.to_owned(),
        plugins: common.plugins.clone(),
        limits: ServerLimits {
            max_payload: usize::try_from(common.settings.cluster.cluster_max_payload)
                .unwrap_or(usize::MAX),
            ..ServerLimits::default()
        },
    };
    let server = Server::new(config, data_planes).context("the cluster listener cannot be used")?;
    let stop = common.term.ended.clone();
    Ok(tokio::spawn(server.run(listeners, snapshots, stop)))
}

/// Data planes as the Admin API shows them.
struct Shown(Arc<DataPlanes>);

impl keelgate_admin::DataPlanes for Shown {
    fn list(&self) -> Vec<serde_json::Value> {
        self.0
            .list()
            .iter()
            .filter_map(|plane| serde_json::to_value(plane).ok())
            .collect()
    }
}
