//! The publisher of a backup node, away from everything that serves requests.

use std::sync::Arc;

use anyhow::Context;
use keelgate_fallback::{
    Prepare, PublishSettings, Publisher, PublisherSettings, PublisherStatus, Seal,
};
use keelgate_runtime::scheduling::{run_when_idle, stand_back};
use keelgate_settings::Settings;
use keelgate_snapshot::{SealingKeys, Snapshot, vouch};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::activation::Activation;
use super::storages::storages;
use super::verification::ClusterIdentity;

/// A running publisher.
pub(crate) struct Backup {
    statuses: Vec<watch::Receiver<PublisherStatus>>,
    stop: CancellationToken,
    thread: std::thread::JoinHandle<()>,
}

/// Starts publishing what `snapshots` shows. What is published is compiled by `activation`, and
/// verified as readers do.
pub(crate) async fn start(
    settings: &Settings,
    node_id: Uuid,
    hostname: String,
    cluster: &ClusterIdentity,
    activation: Arc<Activation>,
    snapshots: watch::Receiver<Option<Snapshot>>,
) -> anyhow::Result<Backup> {
    let storages = storages(settings)?;
    let publisher = publisher_settings(settings, node_id, hostname, cluster);
    let verify = cluster.verify();
    let prepare = prepare(cluster, activation);
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let (started, statuses) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // These check large snapshots.
        .on_thread_start(run_when_idle)
        .max_blocking_threads(2)
        .build()
        .context("cannot start the publisher's runtime")?;
    let thread = std::thread::Builder::new()
        .name("publisher".to_owned())
        .spawn(move || {
            stand_back();
            runtime.block_on(async move {
                let publisher =
                    Publisher::start(&storages, &publisher, &verify, Some(&prepare), &snapshots);
                // The receiver is gone only if the node stops at once.
                let _ = started.send(publisher.statuses().to_vec());
                stopped.cancelled().await;
                publisher.stop().await;
            });
        })?;
    let statuses = statuses.await.context("the publisher did not start")?;
    Ok(Backup {
        statuses,
        stop,
        thread,
    })
}

/// What publishing needs of the settings.
pub(crate) fn publisher_settings(
    settings: &Settings,
    node_id: Uuid,
    hostname: String,
    cluster: &ClusterIdentity,
) -> PublisherSettings {
    PublisherSettings {
        node_id,
        hostname,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        history: settings.fallback.cluster_fallback_config_history as usize,
        lease: settings.fallback.cluster_fallback_config_lease.0,
        pace: PublishSettings {
            delay: settings.fallback.cluster_fallback_config_export_delay.0,
            ..PublishSettings::default()
        },
        seal: cluster.sealing().map(seal),
    }
}

/// Compiles every snapshot before it is published, and vouches for those that a control plane of
/// Kong has sent, which signs nothing: readers believe only what a key of the cluster has signed.
pub(crate) fn prepare(cluster: &ClusterIdentity, activation: Arc<Activation>) -> Prepare {
    let (signer, verify) = (cluster.signer(), cluster.verify());
    let vouched = move |snapshot: &Snapshot| {
        let signer = signer.as_ref().map_err(|error| format!("{error:#}"))?;
        let signed = vouch(snapshot, env!("CARGO_PKG_VERSION"), signer)
            .map_err(|error| error.to_string())?;
        verify(signed.document().clone()).map_err(|error| error.to_string())
    };
    Arc::new(move |snapshot| {
        activation
            .try_compile(&snapshot)
            .map_err(|error| format!("{error:#}"))?;
        if snapshot.is_signed() {
            return Ok(snapshot);
        }
        vouched(&snapshot).map_err(|reason| {
            format!(
                "its control plane does not sign, and others would not believe this node's certificate either: {reason}"
            )
        })
    })
}

/// Encrypts what is published with the first key of the cluster.
fn seal(keys: Arc<SealingKeys>) -> Seal {
    Arc::new(move |snapshot| keys.seal(snapshot).map_err(|error| error.to_string()))
}

impl Backup {
    /// One status per storage, for reports and metrics.
    pub(crate) fn statuses(&self) -> Vec<watch::Receiver<PublisherStatus>> {
        self.statuses.clone()
    }

    /// Finishes what is under way and gives the leases back.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        if tokio::task::spawn_blocking(|| self.thread.join())
            .await
            .is_ok_and(|joined| joined.is_err())
        {
            tracing::error!("the publisher's thread panicked");
        }
    }
}
