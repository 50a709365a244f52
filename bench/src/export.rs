//! What backing up costs the proxy: latency of a data plane that proxies, imports and exports,
//! against one that does all of that but the export, while a large configuration changes all the
//! time.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::connection::Transport;
use crate::control_plane::{Changes, ControlPlane};
use crate::load::Load;
use crate::process::Process;
use crate::request::Request;
use crate::table::{self, median};
use crate::{cores, port, upstream, wait};
use anyhow::{Context, bail, ensure};
use clap::Args;
use hdrhistogram::Histogram;
use serde_json::Value;

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

/// Connections of the generator.
const CONNECTIONS: usize = 32;

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
    cores::keep_from_the_gateway()?;
    let directory = tempfile::tempdir()?;
    let upstream = upstream::start()?;
    let (cert, key) = (
        directory.path().join("cluster.crt"),
        directory.path().join("cluster.key"),
    );
    let made = Command::new(keelgate)
        .args(["hybrid", "gen_cert"])
        .args([&cert, &key])
        .output()?;
    ensure!(
        made.status.success(),
        "cannot make the cluster's certificate"
    );
    let count = (turns + 1) * CHANGES + 1;
    let changes = Changes::prepare(&cert, &key, upstream, options.routes, count)?;
    let bench = Bench {
        keelgate,
        directory: directory.path(),
        storage: options.storage.as_deref(),
        changes: &changes,
        options,
    };
    let mut figures = ARMS.map(|_| Figures::new());
    for round in 0..rounds {
        bench
            .round(round, turns, &mut figures)
            .with_context(|| format!("round {round}"))?;
    }
    print(options, &changes, rounds, &figures);
    Ok(())
}

struct Bench<'a> {
    keelgate: &'a Path,
    directory: &'a Path,
    storage: Option<&'a str>,
    changes: &'a Changes,
    options: &'a ExportArguments,
}

/// A data plane with a control plane of its own.
struct Node {
    arm: Arm,
    control_plane: ControlPlane,
    process: Process,
    status_port: u16,
    load: Load,
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
                let before = node.process.usage()?.cpu;
                let outcome = std::thread::scope(|scope| {
                    scope.spawn(|| clock.block_on(self.change(node, turn * CHANGES)));
                    node.load.run(TURN, Some(self.options.rate))
                })?;
                if turn > 0 {
                    figures[index].turns.push(outcome.latency);
                    figures[index].cpu += node.process.usage()?.cpu - before;
                }
                clock.block_on(async { tokio::time::sleep(PAUSE).await });
            }
        }
        for (node, figures) in nodes.into_iter().zip(figures) {
            figures
                .behind
                .extend(self.check(&node, (turns + 1) * CHANGES)?);
            node.process.kill();
        }
        Ok(())
    }

    /// Shows a turn's changes, those after number `shown`, at an even pace.
    async fn change(&self, node: &Node, shown: usize) {
        let mut clock = tokio::time::interval(CHANGE);
        for change in 1..=CHANGES {
            clock.tick().await;
            self.changes.show(&node.control_plane, shown + change);
        }
    }

    fn start(&self, arm: Arm, name: &str) -> anyhow::Result<Node> {
        let control_plane = self.changes.start()?;
        let (port, status_port) = (port::free()?, port::free()?);
        let log = self.directory.join(format!("{name}.log"));
        let mut command = self.command(arm, name, control_plane.address, port, status_port);
        let process = cores::of_the_gateway(|| Process::start(&mut command, &log))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let path = format!("http://127.0.0.1:{port}/route-{}/", self.options.routes - 1);
        runtime.block_on(wait::until(&process, &log, &path, |status, _| {
            status == 200
        }))?;
        let load = Load {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            transport: Transport::Clear,
            requests: [self.request()?].into(),
            senders: CONNECTIONS,
            connect: false,
        };
        Ok(Node {
            arm,
            control_plane,
            process,
            status_port,
            load,
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

    fn request(&self) -> anyhow::Result<Request> {
        // The last route: prepared changes are made to the others.
        let last = self.options.routes - 1;
        Request::get(&format!("/route-{last}/1024"), &[])
    }

    fn command(
        &self,
        arm: Arm,
        name: &str,
        control_plane: SocketAddr,
        port: u16,
        status_port: u16,
    ) -> Command {
        let path = |file: &str| self.directory.join(file).display().to_string();
        let storage = match self.storage {
            Some(url) => format!(
                "{}/bench-{}-{name}",
                url.trim_end_matches('/'),
                std::process::id()
            ),
            None => format!("file://{}", path(&format!("storage-{name}"))),
        };
        let export = if arm == Arm::On { "on" } else { "off" };
        let mut command = Command::new(self.keelgate);
        command.args(["start", "--foreground"]).envs([
            ("KONG_PREFIX", path(&format!("prefix-{name}"))),
            ("KONG_ROLE", "data_plane".to_owned()),
            ("KONG_DATABASE", "off".to_owned()),
            ("KONG_LOG_LEVEL", "warn".to_owned()),
            ("KONG_PROXY_ACCESS_LOG", "off".to_owned()),
            ("KONG_NGINX_WORKER_PROCESSES", "2".to_owned()),
            ("KONG_PROXY_LISTEN", format!("127.0.0.1:{port} reuseport")),
            ("KONG_STATUS_LISTEN", format!("127.0.0.1:{status_port}")),
            ("KONG_CLUSTER_CERT", path("cluster.crt")),
            ("KONG_CLUSTER_CERT_KEY", path("cluster.key")),
            ("KONG_CLUSTER_CONTROL_PLANE", control_plane.to_string()),
            ("KONG_CLUSTER_FALLBACK_CONFIG_STORAGE", storage),
            ("KONG_CLUSTER_FALLBACK_CONFIG_IMPORT", "on".to_owned()),
            ("KONG_CLUSTER_FALLBACK_CONFIG_EXPORT", export.to_owned()),
            (
                "KONG_CLUSTER_FALLBACK_CONFIG_EXPORT_DELAY",
                self.options.delay.to_string(),
            ),
        ]);
        command
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
