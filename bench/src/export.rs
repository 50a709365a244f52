//! What backing up costs the proxy: latency of a data plane that proxies, imports and exports,
//! against one that does all of that but the export, while a large configuration changes all the
//! time.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::Args;
use hdrhistogram::Histogram;
use serde_json::Value;

use crate::control_plane::Changes;
use crate::data_plane::{Cluster, DataPlane};
use crate::table::{self, median};
use crate::{port, wait};

/// Options of `export`.
#[derive(Args)]
pub(crate) struct ExportArguments {
    /// Storage to write to, with the usual variables beside it; each run takes a prefix of its own.
    /// A temporary directory when none is named.
    #[arg(long, env = "BENCH_STORAGE", value_name = "URL")]
    storage: Option<String>,
    /// How many routes the configuration holds.
    #[arg(long, default_value_t = 10_000)]
    routes: usize,
    /// Requests per second: far below what the machine carries, so that latency shows disturbance
    /// and not load.
    #[arg(long, default_value_t = 1_000.0)]
    rate: f64,
    /// `cluster_fallback_config_export_delay`, in seconds. With 0 every change is exported.
    #[arg(long, default_value_t = 5.0)]
    delay: f64,
    /// How often the processes are started anew.
    #[arg(long)]
    rounds: Option<usize>,
    /// How often each of them has its turn in a round.
    #[arg(long)]
    turns: Option<usize>,
}

/// How long a process is loaded at a time.
const TURN: Duration = Duration::from_secs(10);

/// Time between two changes of the configuration.
const CHANGE: Duration = Duration::from_secs(1);

/// Time between two turns: what an exporter still has to write falls into it.
const PAUSE: Duration = Duration::from_secs(1);

/// Changes in a turn.
const CHANGES: usize = (TURN.as_secs() / CHANGE.as_secs()) as usize;

/// What differs between the processes. The second without export tells how much two equal ones
/// differ on this machine.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Arm {
    Off,
    On,
    OffAgain,
}

const ARMS: [Arm; 3] = [Arm::Off, Arm::On, Arm::OffAgain];

/// What one arm showed.
struct Figures {
    /// Latencies in microseconds, by turn.
    turns: Vec<Histogram<u64>>,
    /// Processor time in all turns.
    cpu: Duration,
    /// By how many changes the newest backup was behind at the end of each round.
    behind: Vec<f64>,
}

/// Measures all arms several rounds over, and prints the table and the ratios.
pub(crate) fn run(keelgate: &Path, options: &ExportArguments, quick: bool) -> anyhow::Result<()> {
    let rounds = options.rounds.unwrap_or(if quick { 1 } else { 3 });
    let turns = options.turns.unwrap_or(if quick { 3 } else { 10 });
    let count = (turns + 1) * CHANGES + 1;
    let bench = Bench {
        cluster: Cluster::prepare(keelgate, options.routes, count)?,
        options,
    };
    let mut figures = ARMS.map(|_| Figures::new());
    for round in 0..rounds {
        bench
            .round(round, turns, &mut figures)
            .with_context(|| format!("round {round}"))?;
    }
    print(options, &bench.cluster.changes, rounds, &figures);
    Ok(())
}

struct Bench<'a> {
    cluster: Cluster<'a>,
    options: &'a ExportArguments,
}

/// The data plane of an arm.
struct Node {
    arm: Arm,
    data_plane: DataPlane,
    status_port: u16,
}

impl Bench<'_> {
    /// Starts one process per arm and gives them turns of load, in an order that moves on from turn
    /// to turn: what drifts on the machine touches all of them alike. Who has no turn is idle.
    fn round(&self, round: usize, turns: usize, figures: &mut [Figures; 3]) -> anyhow::Result<()> {
        let mut nodes = Vec::new();
        for arm in ARMS {
            nodes.push(self.start(arm, &format!("{round}-{}", nodes.len()))?);
        }
        let clock = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()?;
        // The first turn of each warms it up.
        for turn in 0..=turns {
            for place in 0..nodes.len() {
                let index = (place + turn + round) % nodes.len();
                let node = &nodes[index];
                let before = node.data_plane.process.usage()?.cpu;
                let outcome = std::thread::scope(|scope| {
                    scope.spawn(|| clock.block_on(self.change(node, turn * CHANGES)));
                    node.data_plane.load.run(TURN, Some(self.options.rate))
                })?;
                if turn > 0 {
                    figures[index].turns.push(outcome.latency);
                    figures[index].cpu += node.data_plane.process.usage()?.cpu - before;
                }
                clock.block_on(async { tokio::time::sleep(PAUSE).await });
            }
        }
        for (node, figures) in nodes.into_iter().zip(figures) {
            figures
                .behind
                .extend(self.check(&node, (turns + 1) * CHANGES)?);
            node.data_plane.process.kill();
        }
        Ok(())
    }

    /// Shows a turn's changes, those after number `shown`, at an even pace.
    async fn change(&self, node: &Node, shown: usize) {
        let mut clock = tokio::time::interval(CHANGE);
        for change in 1..=CHANGES {
            clock.tick().await;
            let control_plane = &node.data_plane.control_plane;
            self.cluster.changes.show(control_plane, shown + change);
        }
    }

    fn start(&self, arm: Arm, name: &str) -> anyhow::Result<Node> {
        let storage = match &self.options.storage {
            Some(url) => format!(
                "{}/bench-{}-{name}",
                url.trim_end_matches('/'),
                std::process::id()
            ),
            None => format!("file://{}", self.cluster.path(&format!("storage-{name}"))),
        };
        let export = if arm == Arm::On { "on" } else { "off" };
        let status_port = port::free()?;
        let variables = [
            ("KONG_STATUS_LISTEN", format!("127.0.0.1:{status_port}")),
            ("KONG_CLUSTER_FALLBACK_CONFIG_STORAGE", storage),
            ("KONG_CLUSTER_FALLBACK_CONFIG_IMPORT", "on".to_owned()),
            ("KONG_CLUSTER_FALLBACK_CONFIG_EXPORT", export.to_owned()),
            (
                "KONG_CLUSTER_FALLBACK_CONFIG_EXPORT_DELAY",
                self.options.delay.to_string(),
            ),
        ];
        Ok(Node {
            arm,
            data_plane: self.cluster.start(name, variables)?,
            status_port,
        })
    }

    /// Sees that the node did what its arm stands for; by how many changes its backup is behind.
    fn check(&self, node: &Node, shown: usize) -> anyhow::Result<Option<f64>> {
        let report = self.report(node.status_port)?;
        let served = report["source"]["serving"]["identity"]["revision"]
            .as_u64()
            .unwrap_or_default();
        ensure!(
            served >= shown as u64,
            "the data plane did not follow: {served} of {shown} changes"
        );
        let stored = &report["fallback"][0]["last_success"]["identity"]["revision"];
        match (node.arm, stored.as_u64()) {
            (Arm::On, None) => bail!("nothing was exported: {}", report["fallback"]),
            (Arm::On, Some(revision)) => Ok(Some(served.saturating_sub(revision) as f64)),
            _ => Ok(None),
        }
    }

    fn report(&self, status_port: u16) -> anyhow::Result<Value> {
        let url = format!("http://127.0.0.1:{status_port}/status");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (_, body) = runtime.block_on(wait::fetch(&reqwest::Client::new(), &url))?;
        let mut report: Value = serde_json::from_str(&body)?;
        Ok(report["keelgate"].take())
    }
}

impl Figures {
    fn new() -> Self {
        Self {
            turns: Vec::new(),
            cpu: Duration::ZERO,
            behind: Vec::new(),
        }
    }

    /// A quantile of all requests of these turns.
    fn quantile(&self, quantile: f64, turns: impl Iterator<Item = usize>) -> f64 {
        let mut all = Histogram::<u64>::new(3).expect("three digits are a precision");
        for turn in turns {
            // Histograms of one kind can always be added.
            let _ = all.add(&self.turns[turn]);
        }
        all.value_at_quantile(quantile) as f64
    }

    fn row(&self, name: &str) -> Vec<String> {
        let all = |quantile| format!("{:.0}", self.quantile(quantile, 0..self.turns.len()));
        let requests: u64 = self.turns.iter().map(Histogram::len).sum();
        let seconds = TURN.as_secs_f64() * self.turns.len() as f64;
        vec![
            name.to_owned(),
            requests.to_string(),
            all(0.5),
            all(0.99),
            all(0.999),
            format!("{:.0}", self.cpu.as_secs_f64() * 1e3 / seconds),
            match self.behind.as_slice() {
                [] => "-".to_owned(),
                behind => format!("{:.0}", median(behind)),
            },
        ]
    }
}

fn print(options: &ExportArguments, changes: &Changes, rounds: usize, figures: &[Figures; 3]) {
    let [off, on, again] = figures;
    let storage = options.storage.as_deref().unwrap_or("a directory");
    table::print(
        &format!(
            "Export to {storage} (delay {} s) while {} routes ({:.1} MiB) change every second, the gateway on one processor; {:.0} requests/s, {rounds} rounds of {} turns",
            options.delay,
            options.routes,
            changes.bytes() as f64 / 1048576.0,
            options.rate,
            off.turns.len() / rounds.max(1),
        ),
        &[
            "export",
            "requests",
            "p50 us",
            "p99 us",
            "p99.9 us",
            "CPU ms/s",
            "newest backup behind, changes",
        ],
        &[off.row("off"), on.row("on"), again.row("off, again")],
    );
    let row = |name: &str, of: &Figures, to: &Figures, quantile: f64| {
        let (ratio, low, high) = ratio(of, to, quantile);
        vec![
            name.to_owned(),
            format!("{ratio:.3}"),
            format!("{low:.3} to {high:.3}"),
        ]
    };
    table::print(
        "Ratio of the latencies of all requests, with a 95 % interval",
        &["", "ratio", "95 % interval"],
        &[
            row("p50, on to off", on, off, 0.5),
            row("p50, on to off again", on, again, 0.5),
            row("p99, on to off", on, off, 0.99),
            row("p99, on to off again", on, again, 0.99),
            row("p99, off again to off (noise)", again, off, 0.99),
        ],
    );
}

/// The ratio of a quantile over all turns, and an interval that holds it: the turns that belong
/// together are drawn again and again, together, with a fixed seed.
fn ratio(of: &Figures, to: &Figures, quantile: f64) -> (f64, f64, f64) {
    const TIMES: usize = 400;
    let count = of.turns.len().min(to.turns.len());
    let at = |turns: &[usize]| {
        of.quantile(quantile, turns.iter().copied()) / to.quantile(quantile, turns.iter().copied())
    };
    let mut random = fastrand::Rng::with_seed(1);
    let mut drawn: Vec<f64> = (0..TIMES)
        .map(|_| {
            let turns: Vec<usize> = (0..count).map(|_| random.usize(..count)).collect();
            at(&turns)
        })
        .collect();
    drawn.sort_by(f64::total_cmp);
    let all: Vec<usize> = (0..count).collect();
    (at(&all), drawn[TIMES / 40], drawn[TIMES - 1 - TIMES / 40])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(latencies: impl Fn(u64) -> u64) -> Figures {
        let mut figures = Figures::new();
        for turn in 0..20 {
            let mut histogram = Histogram::new(3).unwrap();
            for request in 0..100 {
                histogram.record(latencies(turn * 7 + request)).unwrap();
            }
            figures.turns.push(histogram);
        }
        figures
    }

    #[test]
    fn the_interval_of_a_ratio_lies_around_it() {
        let slow = figures(|number| 200 + number % 31);
        let fast = figures(|number| 100 + number % 17);
        let (ratio, low, high) = ratio(&slow, &fast, 0.99);
        assert!(low <= ratio && ratio <= high);
        assert!(200.0 / 117.0 <= low && high <= 231.0 / 100.0);
    }

    #[test]
    fn a_quantile_is_of_all_requests_of_the_turns() {
        let mut figures = Figures::new();
        for latency in [10, 20, 30] {
            let mut histogram = Histogram::new(3).unwrap();
            histogram.record_n(latency, 100).unwrap();
            figures.turns.push(histogram);
        }
        assert_eq!(figures.quantile(0.99, 0..2), 20.0);
        assert_eq!(figures.quantile(0.99, 0..3), 30.0);
    }
}
