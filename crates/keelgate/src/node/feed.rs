//! From the entity store to snapshots: one for every committed change that is noticed.

mod encoder;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use keelgate_entities::Object;
use keelgate_entities::declarative::{Table, Wire};
use keelgate_snapshot::{Fragments, Position, Signer, Snapshot};
use keelgate_store::Store;
use serde_json::{Value, json};
use tokio::sync::watch;
use uuid::Uuid;

use encoder::{Encoded, Encoder};

/// How long to wait after a failure before the store is read again.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// The longest pause after a snapshot was built, before the next one is.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

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
    let mut encoder = Encoder::default();
    loop {
        changes.mark_unchanged();
        let began = Instant::now();
        let built = match encoder.next(store.as_ref()).await {
            Ok((encoded, base)) => snapshot_of(encoded, base, signer.clone()).await,
            Err(error) => Err(error),
        };
        match built {
            Ok(snapshot) => {
                tracing::info!(identity = %snapshot.identity(), "built a snapshot");
                newest.send_replace(Some(snapshot));
                // Changes come together as fast as they can be written: what makes snapshots of them
                // leaves as much of the processors to those who write as it takes.
                tokio::time::sleep(began.elapsed().min(LONGEST_PAUSE)).await;
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

/// A snapshot of what was encoded; what it has in common with `base` is not hashed again.
async fn snapshot_of(
    encoded: Encoded,
    base: Option<Fragments>,
    signer: Option<Arc<Signer>>,
) -> anyhow::Result<Snapshot> {
    // Large configurations take a while to hash: not on the threads that serve others.
    let building = tokio::task::spawn_blocking(move || {
        let Encoded {
            position,
            fragments,
            ..
        } = encoded;
        // Both are remembered by the fragments; they take as long as one another.
        std::thread::scope(|scope| {
            let hashes = scope.spawn(|| fragments.prepare_after(base.as_ref()));
            fragments.digest_after(base.as_ref());
            hashes.join().is_ok()
        });
        keelgate_snapshot::build_after(
            fragments,
            base.as_ref(),
            place(position),
            env!("CARGO_PKG_VERSION"),
            SystemTime::now(),
            signer.as_deref(),
        )
        .context("cannot build the snapshot")
    });
    building
        .await
        .context("the snapshot's builder ended early")?
}

fn place(position: keelgate_store::Position) -> Position {
    Position {
        cluster_id: position.cluster_id,
        epoch: position.epoch,
        revision: position.revision,
    }
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
    config_table_of(table, cluster_id, &mut Wire::default())
}

/// As [`config_table`], and `wire` knows what was left out.
fn config_table_of(table: Table, cluster_id: Uuid, wire: &mut Wire) -> Object {
    let mut tables = table.into_config_table_of(wire);
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
