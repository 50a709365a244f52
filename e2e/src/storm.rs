//! Backup nodes that are killed and paused at random while the configuration changes all the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::reader::{self, Choice, Reader, Sightings};
use crate::{Cluster, Node, Storage, election, wait};

/// The lease of the nodes under the storm; as short as can be, so that many leaders come and go.
const LEASE: Duration = Duration::from_secs(3);

/// How often the configuration changes.
const CHANGE: Duration = Duration::from_millis(100);

/// How many snapshots the history keeps.
const HISTORY: usize = 10;

/// How long the nodes may take to come to rest afterwards; nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(120);

/// A storm.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Chooses who is struck, when, how and for how long.
    pub seed: u64,
    /// How long strikes go on.
    pub length: Length,
    /// What readers choose among, by what the storage can do.
    pub choice: Choice,
}

/// How long a storm goes on.
#[derive(Clone, Copy, Debug)]
pub enum Length {
    /// This many strikes.
    Strikes(u32),
    /// Strikes for this long.
    Time(Duration),
}

/// What a storm did and what was seen of it.
#[derive(Debug)]
pub struct Outcome {
    /// Nodes that were killed and started again.
    pub kills: u32,
    /// Nodes that were stopped and went on.
    pub pauses: u32,
    /// Changes that the control plane has acknowledged.
    pub changes: u64,
    /// What the leader says of the storage: `compare` or `none`.
    pub fencing: String,
    /// How many times somebody took the lease.
    pub terms: u64,
    /// What the reader saw.
    pub sightings: Sightings,
}

/// A node and when it is to go on.
struct Target {
    node: Node,
    id: String,
    back: Option<(Instant, Strike)>,
}

#[derive(Clone, Copy, Debug)]
enum Strike {
    Kill,
    Pause,
}

/// Runs a storm over a control plane and two data planes that all export into the only storage of
/// `cluster`. Waits until they are at rest again, and panics unless then
///
/// - the stored snapshot is the control plane's,
/// - no reader ever went back,
/// - every object of the history is whole, is what its name says, and none is newer,
/// - exactly one node leads, and all agree who.
pub async fn storm(cluster: &Cluster, plan: Plan) -> Outcome {
    let lease = LEASE.as_secs().to_string();
    let history = HISTORY.to_string();
    let export = [
        ("cluster_fallback_config_export", "on"),
        ("cluster_fallback_config_export_delay", "0.1"),
        ("cluster_fallback_config_lease", lease.as_str()),
        ("cluster_fallback_config_history", history.as_str()),
    ];
    let control_plane = cluster.control_plane(&export);
    control_plane.up().await;
    let mut both = export.to_vec();
    both.push(("cluster_fallback_config_import", "on"));
    let planes = [
        cluster.data_plane_of(&control_plane, &both),
        cluster.data_plane_of(&control_plane, &both),
    ];
    cluster.add_route(&control_plane, "first", "/first").await;
    for plane in &planes {
        plane.serves("/first", 200).await;
    }
    let storage = Arc::clone(cluster.shared_storage());
    let reader = Reader::start(cluster, plan.choice);
    let changes = Changes::start(
        control_plane.admin("/services/counter"),
        &cluster.upstream.url(),
    );
    let mut targets = Vec::new();
    for node in [control_plane].into_iter().chain(planes) {
        let id = node.id().await;
        targets.push(Target {
            node,
            id,
            back: None,
        });
    }

    let (kills, pauses) = strike(&mut targets, &storage, plan).await;

    let changes = changes.stop().await;
    let (control_plane, planes) = targets.split_first().expect("there are three nodes");
    control_plane.node.up().await;
    cluster
        .add_route(&control_plane.node, "last", "/last")
        .await;
    for plane in planes {
        plane.node.serves("/last", 200).await;
    }
    comes_to_rest(&control_plane.node, &storage).await;
    let fencing = agrees_on_one_leader(&targets).await;
    let term = election::lease(&storage)
        .await
        .map_or(0, |lease| lease.term);
    keeps_a_good_history(&storage).await;
    Outcome {
        kills,
        pauses,
        changes,
        fencing,
        terms: term,
        sightings: reader.stop().await,
    }
}

/// Strikes nodes at random, every other time the one that leads; at the end all of them run.
async fn strike(targets: &mut [Target], storage: &Storage, plan: Plan) -> (u32, u32) {
    let mut random = Rng::with_seed(plan.seed);
    let (mut kills, mut pauses) = (0, 0);
    let begin = Instant::now();
    loop {
        let is_over = match plan.length {
            Length::Strikes(strikes) => kills + pauses >= strikes,
            Length::Time(time) => begin.elapsed() >= time,
        };
        for target in targets.iter_mut() {
            let back = target
                .back
                .take_if(|(due, _)| is_over || *due <= Instant::now());
            match back {
                Some((_, Strike::Kill)) => target.node.start_again(),
                Some((_, Strike::Pause)) => target.node.signal(Signal::CONT),
                None => {}
            }
        }
        if is_over {
            return (kills, pauses);
        }
        sleep(Duration::from_millis(random.u64(100..1500))).await;
        let leader = if random.bool() {
            election::lease(storage)
                .await
                .and_then(|lease| lease.holder)
        } else {
            None
        };
        let running: Vec<usize> = (0..targets.len())
            .filter(|at| targets[*at].back.is_none())
            .collect();
        let leading = running
            .iter()
            .find(|at| leader.as_deref() == Some(targets[**at].id.as_str()));
        let Some(at) = leading.or_else(|| random.choice(&running)) else {
            continue;
        };
        let target = &mut targets[*at];
        // Most are short; some of the pauses outlast the lease.
        let away = LEASE.mul_f64(random.f64().powi(2) * 1.5);
        let strike = if random.bool() {
            target.node.kill();
            kills += 1;
            Strike::Kill
        } else {
            target.node.signal(Signal::STOP);
            pauses += 1;
            Strike::Pause
        };
        target.back = Some((Instant::now() + away, strike));
    }
}

/// Waits until the storage holds what the control plane serves.
async fn comes_to_rest(control_plane: &Node, storage: &Storage) {
    wait::within(PATIENCE, "the newest snapshot in the storage", || async {
        let report = control_plane.report().await;
        let made = &report["fallback"][0]["wanted"];
        let stored = storage.read(&Storage::config_key()).await;
        let stored = stored.and_then(|body| reader::identity(&body));
        match stored {
            Some(stored) if stored == *made && made["revision"].is_u64() => Ok(()),
            _ => Err(format!(
                "stored {stored:?}, made {made}, {}",
                report["fallback"]
            )),
        }
    })
    .await;
}

/// Waits until one node leads, has nothing to do, and all others know it; returns what it
/// says of the storage's fencing.
async fn agrees_on_one_leader(targets: &[Target]) -> String {
    wait::within(PATIENCE, "one leader", || async {
        let mut reports = Vec::new();
        for target in targets {
            let report = target.node.report().await;
            reports.push(report["fallback"][0].clone());
        }
        let leading: Vec<_> = targets
            .iter()
            .zip(&reports)
            .filter(|(_, report)| report["leading"] == true && report["state"] == "stored")
            .collect();
        let leaders = reports
            .iter()
            .filter(|report| report["leading"] == true)
            .count();
        match leading[..] {
            [(leader, report)] if leaders == 1 => {
                let agree = reports
                    .iter()
                    .all(|report| report["leader"].as_str() == Some(leader.id.as_str()));
                let fencing = report["fencing"].as_str().unwrap_or("unknown");
                agree
                    .then(|| fencing.to_owned())
                    .ok_or_else(|| format!("{reports:?}"))
            }
            _ => Err(format!("{reports:?}")),
        }
    })
    .await
}

/// Every object of the history is whole and is what its name says; none is newer than what is
/// served, no position is there twice, and no more are kept than asked for.
async fn keeps_a_good_history(storage: &Storage) {
    let config = storage.read(&Storage::config_key()).await;
    let served = config
        .and_then(|body| reader::identity(&body))
        .map(|identity| reader::position(&identity))
        .expect("the storage holds a snapshot");
    let keys = storage.list(&Storage::key("history")).await;
    let mut positions = Vec::new();
    for key in &keys {
        // The leader may still be pruning, from the oldest on.
        let Some(body) = storage.read(key).await else {
            continue;
        };
        let identity = reader::identity(&body).unwrap_or_else(|| panic!("{key} is torn"));
        let position = reader::position(&identity);
        assert_eq!(reader::named(key), Some(position), "{key} holds {identity}");
        let hash = identity["sha256"].as_str().expect("a digest");
        assert!(key.contains(&hash[..12]), "{key} holds {identity}");
        positions.push(position);
    }
    positions.sort_unstable();
    assert_eq!(positions.last(), Some(&served), "the newest of {keys:?}");
    assert!(
        positions.len() <= HISTORY + 1,
        "{} are kept",
        positions.len()
    );
    let all = positions.len();
    positions.dedup();
    assert_eq!(all, positions.len(), "a fork: {keys:?}");
}

/// Changes through the Admin API, as many as it takes.
struct Changes {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Changes {
    fn start(service: String, url: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let acknowledged = Arc::new(AtomicU64::new(0));
        let (stopped, counter, url) = (stop.clone(), acknowledged.clone(), url.to_owned());
        let task = tokio::spawn(async move {
            let client = reqwest::Client::builder()
                .timeout(Duration::from_secs(1))
                .build()
                .expect("make a client");
            let mut ticks = interval(CHANGE);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            let mut number = 0_u64;
            while !stopped.load(Ordering::Relaxed) {
                ticks.tick().await;
                number += 1;
                let change: Value = json!({"url": url, "tags": [format!("n{number}")]});
                let answer = client.put(&service).json(&change).send().await;
                // The control plane is dead or paused for part of the time.
                if answer.is_ok_and(|answer| answer.status().is_success()) {
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Self {
            stop,
            acknowledged,
            task,
        }
    }

    async fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("the client does not panic");
        self.acknowledged.load(Ordering::Relaxed)
    }
}
