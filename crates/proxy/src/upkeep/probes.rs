//! Active health checks: one set per node, whatever the number of workers.
//!
//! Every upstream with active checks has a task. What it finds out goes into the counts that all
//! workers read, and that the next snapshot's balancers take over. The task follows its upstream
//! through snapshots by id, and ends with it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use keelgate_balancer::Health;
use keelgate_entities::kinds::ActiveChecks;
use keelgate_runtime::{Shared, UpstreamEntry};
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::probe::Probe;

/// Shortest pause between two rounds of probes.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

/// A fleet that gets its snapshot at once does not begin at once.
const SPREAD: Duration = Duration::from_secs(1);

/// Probes the targets of all upstreams that serve.
pub(super) async fn follow(shared: &Shared) {
    let mut swaps = shared.swaps();
    let mut tasks: HashMap<Uuid, Task> = HashMap::new();
    loop {
        let mut before = std::mem::take(&mut tasks);
        for entry in shared.load().upstreams() {
            let active = &entry.upstream.healthchecks.active;
            if Kind::ALL.iter().all(|kind| kind.interval(active).is_none()) {
                continue;
            }
            let id = entry.upstream.id;
            let task = match before.remove(&id) {
                Some(task) => {
                    task.entry.send_replace(Arc::clone(entry));
                    task
                }
                None => Task::start(Arc::clone(entry)),
            };
            tasks.insert(id, task);
        }
        // Tasks of upstreams that are gone end here.
        drop(before);
        if swaps.changed().await.is_err() {
            return;
        }
    }
}

/// The probes of one upstream.
struct Task {
    entry: watch::Sender<Arc<UpstreamEntry>>,
    task: JoinHandle<()>,
}

impl Task {
    fn start(entry: Arc<UpstreamEntry>) -> Self {
        let (entry, entries) = watch::channel(entry);
        let other = entries.clone();
        let task = spawn_local(async move {
            tokio::join!(
                rounds(Kind::Healthy, entries),
                rounds(Kind::Unhealthy, other)
            );
        });
        Self { entry, task }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The targets that are probed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Healthy,
    Unhealthy,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Healthy, Self::Unhealthy];

    /// The pause between two rounds; none when these targets are not probed.
    fn interval(self, checks: &ActiveChecks) -> Option<Duration> {
        let seconds = match self {
            Self::Healthy => checks.healthy.interval,
            Self::Unhealthy => checks.unhealthy.interval,
        };
        (seconds > 0.0).then(|| Duration::from_secs_f64(seconds).max(SHORTEST_INTERVAL))
    }

    fn has(self, health: Health) -> bool {
        match self {
            Self::Healthy => health == Health::Healthy,
            Self::Unhealthy => health == Health::Unhealthy,
        }
    }
}

/// Probes round after round. A changed interval counts from the last round on.
async fn rounds(kind: Kind, mut entries: watch::Receiver<Arc<UpstreamEntry>>) {
    let begin = Instant::now();
    let mut last = None;
    loop {
        let entry = Arc::clone(&entries.borrow_and_update());
        let interval = kind.interval(&entry.upstream.healthchecks.active);
        let next = match (interval, last) {
            (Some(interval), Some(last)) => Some(last + interval),
            (Some(interval), None) => Some(begin + interval.min(SPREAD).mul_f64(fastrand::f64())),
            (None, _) => None,
        };
        tokio::select! {
            changed = entries.changed() => {
                if changed.is_err() {
                    return;
                }
                continue;
            }
            () = sleep_until(next.unwrap_or(begin)), if next.is_some() => {}
        }
        last = Some(Instant::now());
        round(kind, &entry).await;
    }
}

/// Probes every target of the kind once.
async fn round(kind: Kind, entry: &UpstreamEntry) {
    let balancer = entry.balancer();
    let at_once = match entry.upstream.healthchecks.active.concurrency {
        0 => 10,
        at_once => at_once as usize,
    };
    let peers = balancer
        .peers()
        .filter(|peer| peer.weight > 0 && kind.has(peer.health));
    stream::iter(peers)
        .for_each_concurrent(at_once, async |peer| {
            let outcome = Probe::new(entry, &peer).run().await;
            if let Some(health) = balancer.probed(peer.index, outcome) {
                tracing::warn!(
                    upstream = entry.upstream.name,
                    target = %peer.target_address,
                    address = %peer.address,
                    health = health.as_str(),
                    ?outcome,
                    "a probe has changed the health of a target"
                );
            }
        })
        .await;
}
