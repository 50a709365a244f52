//! What backing up costs the proxy: latency of a data plane that proxies, imports and exports,
//! against one that does all of that but the export, while a large configuration changes all the
//! time.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail, ensure};
use clap::Args;
use hdrhistogram::Histogram;
use keelgate_runtime::scheduling::run_when_idle;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

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
    /// How long each of them is measured in a round, in seconds.
    #[arg(long, default_value_t = 15)]
    seconds: usize,
    /// Leaves out the processes without export: for the comparison of seconds alone.
    #[arg(long)]
    alone: bool,
}

/// The first seconds under load warm a process up.
const WARM_UP: usize = 5;

/// Time between two changes of the configuration.
const CHANGE: Duration = Duration::from_secs(1);

/// Time between two turns: what an exporter still has to write falls into it.
const PAUSE: Duration = Duration::from_secs(1);

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
    rounds: Vec<Round>,
    /// Processor time in all rounds.
    cpu: Duration,
    /// By how many changes the newest backup was behind at the end of each round.
    behind: Vec<f64>,
}

/// Latencies in microseconds.
struct Round {
    all: Histogram<u64>,
    /// Those of the seconds in which no export came to its end.
    apart: Histogram<u64>,
    /// Requests that met a time in which the generator was held up, those of the warm-up included.
    left_out: u64,
}

/// Measures all arms several rounds over, and prints the table and the ratios.
pub(crate) fn run(keelgate: &Path, options: &ExportArguments, quick: bool) -> anyhow::Result<()> {
    let rounds = options.rounds.unwrap_or(if quick { 2 } else { 15 });
    let count = WARM_UP + options.seconds + 1;
    let bench = Bench {
        cluster: Cluster::prepare(keelgate, options.routes, count)?,
        runtime: Builder::new_current_thread().enable_all().build()?,
        client: reqwest::Client::new(),
        options,
    };
    let mut figures = ARMS.map(|_| Figures::new());
    for round in 0..rounds {
        bench
            .round(round, &mut figures)
            .with_context(|| format!("round {round}"))?;
    }
    print(options, &bench.cluster.changes, &figures);
    Ok(())
}

struct Bench<'a> {
    cluster: Cluster<'a>,
    runtime: Runtime,
    client: reqwest::Client,
    options: &'a ExportArguments,
}

/// The data plane of an arm.
struct Node {
    arm: Arm,
    data_plane: DataPlane,
    status_port: u16,
}

impl Bench<'_> {
    /// Starts one process per arm and gives each its turn of load, in an order that moves on from
    /// round to round: what drifts on the machine touches all of them alike. Who has no turn is idle.
    fn round(&self, round: usize, figures: &mut [Figures; 3]) -> anyhow::Result<()> {
        let mut nodes = Vec::new();
        for (index, arm) in ARMS.into_iter().enumerate() {
            if arm == Arm::On || !self.options.alone {
                nodes.push((index, self.start(arm, &format!("{round}-{index}"))?));
            }
        }
        let turns = nodes.len();
        nodes.rotate_left(round % turns);
        for (index, node) in &nodes {
            figures[*index].take(self.turn(node)?);
            self.wait(PAUSE);
        }
        for (index, node) in nodes {
            let shown = WARM_UP + self.options.seconds;
            figures[index].behind.extend(self.check(&node, shown)?);
            node.data_plane.process.kill();
        }
        Ok(())
    }

    /// Loads a node, and shows it a change every second.
    fn turn(&self, node: &Node) -> anyhow::Result<(Round, Duration)> {
        let seconds = WARM_UP + self.options.seconds;
        let duration = CHANGE * u32::try_from(seconds)?;
        let (outcome, changed) = std::thread::scope(|scope| {
            let changing = scope.spawn(|| {
                // It shares a processor with the generator, whose answers it must not keep waiting.
                run_when_idle();
                self.change(node, seconds)
            });
            let outcome = node.data_plane.load.run(duration, Some(self.options.rate));
            (outcome, changing.join())
        });
        let (exported, cpu) = changed.map_err(|_| anyhow!("the changes broke off"))??;
        let mut round = Round::new();
        let outcome = outcome?;
        round.left_out = outcome.requests - outcome.latency.len();
        for (second, latency) in outcome.seconds.iter().enumerate().skip(WARM_UP) {
            round.all.add(latency)?;
            if !exported.contains(&second) {
                round.apart.add(latency)?;
            }
        }
        Ok((round, cpu))
    }

    /// Shows changes at an even pace; the seconds in which an export came to its end, and the
    /// processor time after warming up.
    fn change(&self, node: &Node, seconds: usize) -> anyhow::Result<(Vec<usize>, Duration)> {
        let start = Instant::now();
        let (mut exported, mut before) = (Vec::new(), self.stored(node)?);
        let mut cpu = Duration::ZERO;
        for second in 0..seconds {
            if second == WARM_UP {
                cpu = node.data_plane.process.usage()?.cpu;
            }
            let control_plane = &node.data_plane.control_plane;
            self.cluster.changes.show(control_plane, second + 1);
            let end = start + CHANGE * u32::try_from(second + 1)?;
            self.wait(end.saturating_duration_since(Instant::now()));
            let stored = self.stored(node)?;
            if stored != before {
                exported.push(second);
            }
            before = stored;
        }
        Ok((exported, node.data_plane.process.usage()?.cpu - cpu))
    }

    fn wait(&self, time: Duration) {
        self.runtime
            .block_on(async { tokio::time::sleep(time).await });
    }

    /// The revision of the newest backup that the node has written.
    fn stored(&self, node: &Node) -> anyhow::Result<Option<u64>> {
        let report = self.report(node.status_port)?;
        Ok(report["fallback"][0]["last_success"]["identity"]["revision"].as_u64())
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
        let (_, body) = self.runtime.block_on(wait::fetch(&self.client, &url))?;
        let mut report: Value = serde_json::from_str(&body)?;
        Ok(report["keelgate"].take())
    }
}

fn latencies() -> Histogram<u64> {
    Histogram::new(3).expect("three digits are a precision")
}

impl Round {
    fn new() -> Self {
        Self {
            all: latencies(),
            apart: latencies(),
            left_out: 0,
        }
    }
}

impl Figures {
    fn new() -> Self {
        Self {
            rounds: Vec::new(),
            cpu: Duration::ZERO,
            behind: Vec::new(),
        }
    }

    fn take(&mut self, (round, cpu): (Round, Duration)) {
        self.rounds.push(round);
        self.cpu += cpu;
    }

    /// A quantile of what was measured in these rounds.
    fn quantile<'f>(
        &'f self,
        quantile: f64,
        rounds: impl Iterator<Item = usize>,
        of: impl Fn(&'f Round) -> &'f Histogram<u64>,
    ) -> f64 {
        let mut all = latencies();
        for round in rounds {
            // Histograms of one kind can always be added.
            let _ = all.add(of(&self.rounds[round]));
        }
        all.value_at_quantile(quantile) as f64
    }

    fn row(&self, name: &str, seconds: usize) -> Vec<String> {
        let all = 0..self.rounds.len();
        let quantile = |quantile| {
            let value = self.quantile(quantile, all.clone(), |round| &round.all);
            format!("{value:.0}")
        };
        let sum = |of: fn(&Round) -> u64| self.rounds.iter().map(of).sum::<u64>().to_string();
        let seconds = (seconds * self.rounds.len()) as f64;
        vec![
            name.to_owned(),
            sum(|round| round.all.len()),
            sum(|round| round.left_out),
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

fn print(options: &ExportArguments, changes: &Changes, figures: &[Figures; 3]) {
    let [off, on, again] = figures;
    let storage = options.storage.as_deref().unwrap_or("a directory");
    let named = [("off", off), ("on", on), ("off, again", again)];
    let measured = || named.iter().filter(|(_, of)| !of.rounds.is_empty());
    table::print(
        &format!(
            "Export to {storage} (delay {} s) while {} routes ({:.1} MiB) change every second, the gateway on one processor; {:.0} requests/s, {} rounds of {} s",
            options.delay,
            options.routes,
            changes.bytes() as f64 / 1048576.0,
            options.rate,
            on.rounds.len(),
            options.seconds,
        ),
        &[
            "export",
            "requests",
            "left out",
            "p50 us",
            "p99 us",
            "p99.9 us",
            "CPU ms/s",
            "newest backup behind, changes",
        ],
        &measured()
            .map(|(name, of)| of.row(name, options.seconds))
            .collect::<Vec<_>>(),
    );
    let row = |name: &str, (ratio, low, high): Ratio| {
        vec![
            name.to_owned(),
            format!("{ratio:.3}"),
            format!("{low:.3} to {high:.3}"),
        ]
    };
    let mut rows = vec![
        row("p50, on: to the seconds without one", within(on, 0.5)),
        row("p99, on: to the seconds without one", within(on, 0.99)),
    ];
    if !options.alone {
        rows.extend([
            row("p50, on to off", between(on, &[off, again], 0.5)),
            row("p50, off again to off (noise)", between(again, &[off], 0.5)),
            row("p99, on to off", between(on, &[off, again], 0.99)),
            row(
                "p99, off again to off (noise)",
                between(again, &[off], 0.99),
            ),
        ]);
    }
    table::print(
        "Ratio of the latencies: all seconds of the processes that export to those in which they did not, and processes of the same round, the middle one; with a 95 % interval",
        &["", "ratio", "95 % interval"],
        &rows,
    );
}

/// A ratio, and an interval that holds it.
type Ratio = (f64, f64, f64);

/// The ratio over some rounds, and an interval: the rounds are drawn again and again, with a fixed
/// seed.
fn drawn(rounds: usize, ratio: impl Fn(&[usize]) -> f64) -> Ratio {
    const TIMES: usize = 1_000;
    let mut random = fastrand::Rng::with_seed(1);
    let mut ratios: Vec<f64> = (0..TIMES)
        .map(|_| {
            let rounds: Vec<usize> = (0..rounds).map(|_| random.usize(..rounds)).collect();
            ratio(&rounds)
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    let all: Vec<usize> = (0..rounds).collect();
    (
        ratio(&all),
        ratios[TIMES / 40],
        ratios[TIMES - 1 - TIMES / 40],
    )
}

/// A quantile of all requests to that of the seconds without an export. The process is the same, and
/// so is the state of the machine, which both differ by more than what is looked for.
fn within(of: &Figures, quantile: f64) -> Ratio {
    drawn(of.rounds.len(), |rounds| {
        let rounds = || rounds.iter().copied();
        of.quantile(quantile, rounds(), |round| &round.all)
            / of.quantile(quantile, rounds(), |round| &round.apart)
    })
}

/// The middle one of the ratios of a quantile to that of each other process of the same round.
fn between(of: &Figures, to: &[&Figures], quantile: f64) -> Ratio {
    let at = |figures: &Figures, round: usize| {
        figures.rounds[round].all.value_at_quantile(quantile) as f64
    };
    drawn(of.rounds.len(), |rounds| {
        let ratios: Vec<f64> = rounds
            .iter()
            .flat_map(|round| to.iter().map(|to| at(of, *round) / at(to, *round)))
            .collect();
        median(&ratios)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One second without an export per round, and one with, as long as this.
    fn figures(latency: impl Fn(u64) -> (u64, u64)) -> Figures {
        let mut figures = Figures::new();
        for number in 0..20 {
            let (apart, exporting) = latency(number);
            let mut round = Round::new();
            round.apart.record(apart).unwrap();
            round.all.record(apart).unwrap();
            round.all.record(exporting).unwrap();
            figures.take((round, Duration::ZERO));
        }
        figures
    }

    #[test]
    fn processes_are_compared_with_those_of_their_round() {
        let fast = figures(|round| (1, 100 + round % 7));
        let slow = figures(|round| (1, 2 * (100 + round % 7)));
        assert_eq!(between(&slow, &[&fast, &fast], 0.99), (2.0, 2.0, 2.0));
        let odd = figures(|round| (1, if round < 3 { 9_000 } else { 200 + round % 5 }));
        let (ratio, low, high) = between(&odd, &[&fast, &slow], 0.99);
        assert!(low <= ratio && ratio <= high, "{low} {ratio} {high}");
        assert!((0.9..2.1).contains(&ratio), "{ratio}");
    }

    #[test]
    fn seconds_are_compared_with_those_of_the_same_processes() {
        let same = figures(|_| (100, 100));
        assert_eq!(within(&same, 0.99), (1.0, 1.0, 1.0));
        let slower = figures(|_| (100, 150));
        assert_eq!(within(&slower, 0.99), (1.5, 1.5, 1.5));
    }
}
