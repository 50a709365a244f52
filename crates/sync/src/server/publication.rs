//! A snapshot, ready for the wire: made once, shared by all connections.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use keelgate_snapshot::{Identity, MAX_DELTA_BYTES, Snapshot, delta, gzip};
use serde::Deserialize;
use tokio::sync::{OnceCell, watch};
use tokio::time::sleep;

/// Steps from one publication to the next that are kept, for data planes that are slow.
const MOST_STEPS: usize = 32;

/// A configuration above this size, in bytes, is compressed when a data plane needs it whole, or when
/// there is time.
const LARGE: usize = 1 << 20;

/// How long nothing changes until a large configuration is compressed for whoever connects next.
const SETTLED: Duration = Duration::from_secs(1);

/// A snapshot, what leads to it from those before, and what decides who may get it.
#[derive(Debug)]
pub(super) struct Publication {
    /// Counts publications.
    pub(super) number: u64,
    pub(super) identity: Identity,
    /// Names of the plugins that the configuration uses.
    pub(super) plugins: BTreeSet<String>,
    snapshot: Snapshot,
    /// The payload of the frame with the whole.
    whole: OnceCell<Bytes>,
    /// Payloads that lead here from publications before, each from one to the next.
    steps: Vec<Bytes>,
}

#[derive(Deserialize)]
struct Plugin {
    name: String,
}

impl Publication {
    fn new(snapshot: Snapshot, previous: Option<&Self>) -> Self {
        let plugins = plugins_of(&snapshot).unwrap_or_else(|error| {
            let identity = snapshot.identity();
            tracing::error!(%identity, %error, "cannot tell which plugins the configuration uses");
            Vec::new()
        });
        Self {
            number: previous.map_or(0, |previous| previous.number + 1),
            identity: *snapshot.identity(),
            plugins: plugins.into_iter().map(|plugin| plugin.name).collect(),
            steps: previous.map_or_else(Vec::new, |previous| previous.steps_to(&snapshot)),
            snapshot,
            whole: OnceCell::new(),
        }
    }

    /// The steps to here, and the one from here to the next.
    fn steps_to(&self, next: &Snapshot) -> Vec<Bytes> {
        let Some(step) = delta(&self.snapshot, next) else {
            return Vec::new();
        };
        let mut bytes = step.len();
        let earlier = self.steps.iter().rev().take(MOST_STEPS - 1).cloned();
        let earlier = earlier.take_while(|step| {
            bytes += step.len();
            bytes <= MAX_DELTA_BYTES
        });
        let mut steps = vec![step];
        steps.extend(earlier);
        steps.reverse();
        steps
    }

    /// What leads here from the publication with this number; none where only the whole does.
    pub(super) fn steps_from(&self, number: u64) -> Option<&[Bytes]> {
        let missing = usize::try_from(self.number.checked_sub(number)?).ok()?;
        let first = self.steps.len().checked_sub(missing)?;
        self.steps.get(first..)
    }

    /// The payload with the whole, which is made when it is asked for the first time; none if that
    /// fails.
    pub(super) async fn whole(&self) -> Option<Bytes> {
        let made = self.whole.get_or_try_init(|| {
            let snapshot = self.snapshot.clone();
            tokio::task::spawn_blocking(move || gzip::compress(snapshot.document()))
        });
        match made.await {
            Ok(payload) => Some(payload.clone()),
            Err(_) => {
                tracing::error!("cannot compress a snapshot: the data planes keep the last one");
                None
            }
        }
    }
}

fn plugins_of(snapshot: &Snapshot) -> serde_json::Result<Vec<Plugin>> {
    #[derive(Deserialize)]
    struct Configured {
        #[serde(default)]
        plugins: Option<Vec<Plugin>>,
    }
    match snapshot.fragments() {
        Some(fragments) => match fragments.value("plugins") {
            Some(plugins) => Ok(serde_json::from_str::<Option<_>>(&plugins)?.unwrap_or_default()),
            None => Ok(Vec::new()),
        },
        None => {
            let configured: Configured = serde_json::from_str(snapshot.config_json())?;
            Ok(configured.plugins.unwrap_or_default())
        }
    }
}

/// Makes each snapshot ready, the first at once; while that is done and during the pause after it, only
/// the newest of those that come is kept.
pub(super) async fn publish(
    mut snapshots: watch::Receiver<Option<Snapshot>>,
    publications: watch::Sender<Option<Arc<Publication>>>,
    pause: Duration,
) {
    snapshots.mark_changed();
    let mut last: Option<Arc<Publication>> = None;
    while snapshots.changed().await.is_ok() {
        let Some(snapshot) = snapshots.borrow_and_update().clone() else {
            continue;
        };
        let is_large = snapshot.config_bytes() > LARGE;
        let previous = last.take();
        let making =
            tokio::task::spawn_blocking(move || Publication::new(snapshot, previous.as_deref()));
        let Ok(publication) = making.await else {
            tracing::error!("cannot publish a snapshot: the data planes keep the last one");
            continue;
        };
        if !is_large && publication.whole().await.is_none() {
            continue;
        }
        let publication = Arc::new(publication);
        tracing::debug!(identity = %publication.identity, "snapshot published to the data planes");
        publications.send_replace(Some(Arc::clone(&publication)));
        if is_large {
            tokio::spawn(settle(Arc::downgrade(&publication)));
        }
        last = Some(publication);
        sleep(pause).await;
    }
}

/// Compresses a publication that has stayed the newest for a while, so that the next data plane that
/// connects need not wait for it.
async fn settle(publication: std::sync::Weak<Publication>) {
    sleep(SETTLED).await;
    // The one after it has its place by then, and nobody else holds it.
    if let Some(publication) = publication.upgrade() {
        publication.whole().await;
    }
}
