//! A snapshot, ready for the wire: made once, shared by all connections.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use keelgate_snapshot::{Identity, Snapshot, gzip};
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::sleep;

/// A compressed snapshot and what decides who may get it.
#[derive(Debug)]
pub(super) struct Publication {
    pub(super) identity: Identity,
    /// The payload of the frame.
    pub(super) payload: Bytes,
    /// Names of the plugins that the configuration uses.
    pub(super) plugins: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Configured {
    #[serde(default)]
    plugins: Option<Vec<Plugin>>,
}

#[derive(Deserialize)]
struct Plugin {
    name: String,
}

impl Publication {
    fn new(snapshot: &Snapshot) -> Self {
        let plugins = match serde_json::from_str::<Configured>(snapshot.config_json()) {
            Ok(configured) => configured.plugins.unwrap_or_default(),
            Err(error) => {
                let identity = snapshot.identity();
                tracing::error!(%identity, %error, "cannot tell which plugins the configuration uses");
                Vec::new()
            }
        };
        Self {
            identity: *snapshot.identity(),
            payload: gzip::compress(snapshot.document()),
            plugins: plugins.into_iter().map(|plugin| plugin.name).collect(),
        }
    }
}

/// Compresses each snapshot, the first at once; while one is compressed and during the pause after
/// it, only the newest of those that come is kept.
pub(super) async fn publish(
    mut snapshots: watch::Receiver<Option<Snapshot>>,
    publications: watch::Sender<Option<Arc<Publication>>>,
    pause: Duration,
) {
    snapshots.mark_changed();
    while snapshots.changed().await.is_ok() {
        let Some(snapshot) = snapshots.borrow_and_update().clone() else {
            continue;
        };
        let compressing = tokio::task::spawn_blocking(move || Publication::new(&snapshot));
        let Ok(publication) = compressing.await else {
            tracing::error!("cannot compress a snapshot: the data planes keep the last one");
            continue;
        };
        tracing::debug!(
            identity = %publication.identity,
            bytes = publication.payload.len(),
            "snapshot published to the data planes"
        );
        publications.send_replace(Some(Arc::new(publication)));
        sleep(pause).await;
    }
}
