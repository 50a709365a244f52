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
    /// How often the processes are started anew. Two equal processes differ by more than what is
    /// looked for, so that the number of rounds counts, not that of turns.
    #[arg(long)]
    rounds: Option<usize>,
    /// How often each of them has its turn in a round.
    #[arg(long)]
    turns: Option<usize>,
}

/// How long a process is loaded at a time.
const TURN: Duration = Duration::from_secs(5);

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
    /// Latencies in microseconds, by round.
    rounds: Vec<Histogram<u64>>,
    /// Processor time in all turns.
    cpu: Duration,
    /// By how many changes the newest backup was behind at the end of each round.
    behind: Vec<f64>,
}

/// Measures all arms several rounds over, and prints the table and the ratios.
pub(crate) fn run(keelgate: &Path, options: &ExportArguments, quick: bool) -> anyhow::Result<()> {
    let rounds = options.rounds.unwrap_or(if quick { 2 } else { 30 });
    let turns = options.turns.unwrap_or(1);
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
    print(options, &bench.cluster.changes, turns, &figures);
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
        for figures in figures.iter_mut() {
            figures.rounds.push(latencies());
        }
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
                    figures[index].rounds[round].add(outcome.latency)?;
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

fn latencies() -> Histogram<u64> {
    Histogram::new(3).expect("three digits are a precision")
}

impl Figures {
    fn new() -> Self {
        Self {
            rounds: Vec::new(),
            cpu: Duration::ZERO,
            behind: Vec::new(),
        }
    }

    fn row(&self, name: &str, turns: usize) -> Vec<String> {
        let mut all = latencies();
        for round in &self.rounds {
            // Histograms of one kind can always be added.
            let _ = all.add(round);
        }
        let quantile = |quantile| format!("{:.0}", all.value_at_quantile(quantile));
        let seconds = TURN.as_secs_f64() * (turns * self.rounds.len()) as f64;
        vec![
            name.to_owned(),
            all.len().to_string(),
            quantile(0.5),
            quantile(0.99),
            quantile(0.999),
            format!("{:.0}", self.cpu.as_secs_f64() * 1e3 / seconds),
            match self.behind.as_slice() {
                [] => "-".to_owned(),
                behind => format!("{:.0}", median(behind)),
            },
        ]
    }
}

fn print(options: &ExportArguments, changes: &Changes, turns: usize, figures: &[Figures; 3]) {
    let [off, on, again] = figures;
    let storage = options.storage.as_deref().unwrap_or("a directory");
    table::print(
        &format!(
            "Export to {storage} (delay {} s) while {} routes ({:.1} MiB) change every second, the gateway on one processor; {:.0} requests/s, {} rounds with a turn of {:.0} s",
            options.delay,
            options.routes,
            changes.bytes() as f64 / 1048576.0,
            options.rate,
            off.rounds.len(),
            TURN.as_secs_f64() * turns as f64,
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
        &[
            off.row("off", turns),
            on.row("on", turns),
            again.row("off, again", turns),
        ],
    );
    let row = |name: &str, of: &Figures, to: &[&Figures], quantile: f64| {
        let (ratio, low, high) = ratio(of, to, quantile);
        vec![
            name.to_owned(),
            format!("{ratio:.3}"),
            format!("{low:.3} to {high:.3}"),
        ]
    };
    table::print(
        "Ratio of the latencies of processes of the same round, the middle one, with a 95 % interval",
        &["", "ratio", "95 % interval"],
        &[
            row("p50, on to off", on, &[off, again], 0.5),
            row("p50, off again to off (noise)", again, &[off], 0.5),
            row("p99, on to off", on, &[off, again], 0.99),
            row("p99, off again to off (noise)", again, &[off], 0.99),
        ],
    );
}

/// The middle one of the ratios of a quantile to that of each other process of the same round, and
/// an interval that holds it: the rounds are drawn again and again, with a fixed seed.
fn ratio(of: &Figures, to: &[&Figures], quantile: f64) -> (f64, f64, f64) {
    const TIMES: usize = 1_000;
    let rounds: Vec<Vec<f64>> = (0..of.rounds.len())
        .map(|round| {
            let at = |figures: &Figures| figures.rounds[round].value_at_quantile(quantile) as f64;
            to.iter().map(|to| at(of) / at(to)).collect()
        })
        .collect();
    let middle = |drawn: &mut dyn Iterator<Item = usize>| {
        let ratios: Vec<f64> = drawn.flat_map(|round| &rounds[round]).copied().collect();
        median(&ratios)
    };
    let mut random = fastrand::Rng::with_seed(1);
    let mut drawn: Vec<f64> = (0..TIMES)
        .map(|_| middle(&mut rounds.iter().map(|_| random.usize(..rounds.len()))))
        .collect();
    drawn.sort_by(f64::total_cmp);
    (
        middle(&mut (0..rounds.len())),
        drawn[TIMES / 40],
        drawn[TIMES - 1 - TIMES / 40],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One request per round, as long as this.
    fn figures(latency: impl Fn(u64) -> u64) -> Figures {
        let mut figures = Figures::new();
        for round in 0..20 {
            let mut histogram = latencies();
            histogram.record(latency(round)).unwrap();
            figures.rounds.push(histogram);
        }
        figures
    }

    #[test]
    fn the_ratio_is_the_middle_one_of_the_rounds_and_lies_in_its_interval() {
        let fast = figures(|round| 100 + round % 7);
        let slow = figures(|round| 2 * (100 + round % 7));
        assert_eq!(ratio(&slow, &[&fast, &fast], 0.99), (2.0, 2.0, 2.0));
        let odd = figures(|round| if round < 3 { 9_000 } else { 200 + round % 5 });
        let (ratio, low, high) = ratio(&odd, &[&fast, &slow], 0.99);
        assert!(low <= ratio && ratio <= high, "{low} {ratio} {high}");
        assert!((0.9..2.1).contains(&ratio), "{ratio}");
    }
}
