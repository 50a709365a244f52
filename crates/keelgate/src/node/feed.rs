//! From the entity store to snapshots: one for every committed change that is noticed.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use keelgate_entities::Object;
use keelgate_entities::declarative::Table;
use keelgate_snapshot::{Position, Signer, Snapshot};
use keelgate_store::Store;
use serde_json::{Value, json};
use tokio::sync::watch;
use uuid::Uuid;

/// How long to wait after a failure before the store is read again.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// How often an unchanged configuration is stated anew within the age that it may have.
const STATEMENTS: u32 = 4;

/// What signs the snapshots of a control plane, and how old one may become.
pub(crate) struct Signing {
    pub(crate) signer: Arc<Signer>,
    /// `cluster_fallback_config_max_age`; zero for no bound.
    pub(crate) max_age: Duration,
}

/// Follows the store's change feed for as long as anyone listens, and shows the newest snapshot
/// (`None` until the first is built). Changes that come while a snapshot is built become one. With
/// an age bound an unchanged configuration is stated anew well within it.
pub(crate) async fn follow(
    store: Arc<dyn Store>,
    signing: Option<Signing>,
    newest: watch::Sender<Option<Snapshot>>,
) {
    let mut changes = store.subscribe();
    let signer = signing.as_ref().map(|signing| Arc::clone(&signing.signer));
    loop {
        changes.mark_unchanged();
        match snapshot_of(store.as_ref(), signer.clone()).await {
            Ok(snapshot) => {
                tracing::info!(identity = %snapshot.identity(), "built a snapshot");
                newest.send_replace(Some(snapshot));
            }
            Err(error) => {
                tracing::error!("cannot build a snapshot, trying again: {error:#}");
                tokio::time::sleep(AFTER_FAILURE).await;
                continue;
            }
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = newest.closed() => return,
            () = state_anew(signing.as_ref(), &newest) => {}
        }
    }
}

/// States the newest snapshot anew, again and again, where its age is bounded.
async fn state_anew(signing: Option<&Signing>, newest: &watch::Sender<Option<Snapshot>>) {
    let Some(signing) = signing.filter(|signing| !signing.max_age.is_zero()) else {
        return std::future::pending().await;
    };
    loop {
        tokio::time::sleep(signing.max_age / STATEMENTS).await;
        let Some(snapshot) = newest.borrow().clone() else {
            continue;
        };
        let signer = Arc::clone(&signing.signer);
        let stated = tokio::task::spawn_blocking(move || {
            let version = env!("CARGO_PKG_VERSION");
            keelgate_snapshot::restate(&snapshot, version, SystemTime::now(), &signer)
        });
        match stated.await {
            Ok(Ok(snapshot)) => {
                newest.send_replace(Some(snapshot));
            }
            Ok(Err(error)) => tracing::error!("cannot state the configuration anew: {error}"),
            Err(error) => tracing::error!("stating the configuration anew failed: {error}"),
        }
    }
}

/// A snapshot of everything in the store, as of one revision.
pub(crate) async fn snapshot_of(
    store: &dyn Store,
    signer: Option<Arc<Signer>>,
) -> anyhow::Result<Snapshot> {
    let (position, table) = store.export().await?;
    let position = Position {
        cluster_id: position.cluster_id,
        epoch: position.epoch,
        revision: position.revision,
    };
    // Large configurations take a while to encode: not on the threads that serve others.
    tokio::task::spawn_blocking(move || build(table, position, signer.as_deref()))
        .await
        .context("the snapshot's builder ended early")?
}

/// Encodes a table as a snapshot of a cluster.
pub(crate) fn build(
    table: Table,
    position: Position,
    signer: Option<&Signer>,
) -> anyhow::Result<Snapshot> {
    keelgate_snapshot::build(
        &config_table(table, position.cluster_id),
        position,
        env!("CARGO_PKG_VERSION"),
        SystemTime::now(),
        signer,
    )
    .context("cannot build the snapshot")
}

/// A table in the form that snapshots carry.
pub(crate) fn config_table(table: Table, cluster_id: Uuid) -> Object {
    let mut tables = table.into_config_table();
    add_cluster(&mut tables, cluster_id);
    tables
}

/// The two collections that a data plane of Kong expects beside the entities, with the fields that
/// its schemas have and no other: it refuses a table whole for one field or time stamp that they do
/// not allow. The workspace's id is derived from the cluster's: a data plane of Kong refuses
/// credentials when it changes.
fn add_cluster(tables: &mut Object, cluster_id: Uuid) {
    let workspace = Uuid::new_v5(&cluster_id, b"workspaces:default");
    let rows = |row: Value| Value::Array(vec![row]);
    tables.insert(
        "workspaces".into(),
        rows(json!({
            "id": workspace, "name": "default", "comment": null, "meta": {}, "config": {},
            "created_at": null, "updated_at": null,
        })),
    );
    tables.insert(
        "parameters".into(),
        rows(json!({"key": "cluster_id", "value": cluster_id, "created_at": null})),
    );
}
