//! What backing up costs the proxy: latency of a data plane that proxies, imports and exports,
//! against one that does all of that but the export, while a large configuration changes all the
//! time.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::Args;
use hdrhistogram::Histogram;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::connection::Transport;
use crate::control_plane::Changes;
use crate::load::{Load, Outcome};
use crate::process::Process;
use crate::request::Request;
use crate::table::{self, median};
use crate::{port, upstream, wait};

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
    /// Milliseconds between two changes of the configuration.
    #[arg(long, default_value_t = 1_000)]
    interval: u64,
    /// `cluster_fallback_config_export_delay`, in seconds.
    #[arg(long, default_value_t = 5.0)]
    delay: f64,
    /// How often each arm is measured.
    #[arg(long)]
    rounds: Option<usize>,
    /// How long one measurement takes, in seconds.
    #[arg(long)]
    seconds: Option<u64>,
}

/// Connections of the generator.
const CONNECTIONS: usize = 32;

/// Load and changes before a measurement begins.
const WARM_UP: Duration = Duration::from_secs(4);

/// What differs between the runs. The second run without export tells how much two equal runs
/// differ on this machine.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Arm {
    Off,
    On,
    OffAgain,
}

/// The order within a round, turned from round to round, so that a drift of the machine touches all.
const ARMS: [Arm; 3] = [Arm::Off, Arm::On, Arm::OffAgain];

/// What one arm showed, a value per round, and everything together.
struct Figures {
    p50: Vec<f64>,
    p99: Vec<f64>,
    p999: Vec<f64>,
    /// p99 of every second of every round.
    seconds: Vec<f64>,
    /// Processor time per second, in milliseconds.
    cpu: Vec<f64>,
    changes: u64,
    /// By how many changes the newest backup was behind at the end.
    behind: Vec<f64>,
    all: Histogram<u64>,
}

/// Measures all arms several rounds over, and prints the table and the ratios.
pub(crate) fn run(keelgate: &Path, options: &ExportArguments, quick: bool) -> anyhow::Result<()> {
    let rounds = options.rounds.unwrap_or(if quick { 2 } else { 8 });
    let seconds = options.seconds.unwrap_or(if quick { 10 } else { 20 });
    let duration = Duration::from_secs(seconds);
    let interval = Duration::from_millis(options.interval.max(1));
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
    let total = WARM_UP + duration + Duration::from_secs(10);
    let count = total.div_duration_f64(interval) as usize;
    let changes = Changes::prepare(&cert, &key, upstream, options.routes, count.max(2))?;
    let bench = Bench {
        keelgate,
        directory: directory.path(),
        storage: options.storage.as_deref(),
        changes: &changes,
        options,
        duration,
        interval,
    };
    let mut figures = ARMS.map(|_| Figures::new());
    for round in 0..rounds {
        for turn in 0..ARMS.len() {
            let index = (turn + round) % ARMS.len();
            let name = format!("{round}-{index}");
            bench
                .measure(ARMS[index], &name, &mut figures[index])
                .with_context(|| format!("round {round}, run {name}"))?;
        }
    }
    print(options, &changes, rounds, seconds, &figures);
    Ok(())
}

struct Bench<'a> {
    keelgate: &'a Path,
    directory: &'a Path,
    storage: Option<&'a str>,
    changes: &'a Changes,
    options: &'a ExportArguments,
    duration: Duration,
    interval: Duration,
}

impl Bench<'_> {
    fn measure(&self, arm: Arm, name: &str, figures: &mut Figures) -> anyhow::Result<()> {
        let control_plane = self.changes.start()?;
        let (port, status_port) = (port::free()?, port::free()?);
        let log = self.directory.join(format!("{name}.log"));
        let mut command = self.command(arm, name, control_plane.address, port, status_port);
        let process = Process::start(&mut command, &log)?;
        let load = Load {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            transport: Transport::Clear,
            requests: [self.request()?].into(),
            senders: CONNECTIONS,
            connect: false,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let path = format!("http://127.0.0.1:{port}/route-{}/", self.options.routes - 1);
        runtime.block_on(wait::until(&process, &log, &path, |status, _| {
            status == 200
        }))?;
        let stop = CancellationToken::new();
        let measured = std::thread::scope(|scope| -> anyhow::Result<_> {
            let feeding = scope.spawn(|| {
                runtime.block_on(
                    self.changes
                        .feed(&control_plane, self.interval, stop.clone()),
                )
            });
            let measured = self.load(&load, &process);
            stop.cancel();
            let fed = feeding.join().unwrap_or_default();
            Ok((measured?, fed))
        });
        let ((outcome, cpu), fed) = measured?;
        let report = self.report(status_port)?;
        let served = report["source"]["serving"]["identity"]["revision"]
            .as_u64()
            .unwrap_or_default();
        ensure!(
            served + 3 > fed as u64,
            "the data plane did not follow: {served} of {fed} changes"
        );
        let stored = &report["fallback"][0]["last_success"]["identity"]["revision"];
        match (arm, stored.as_u64()) {
            (Arm::On, None) => bail!("nothing was exported: {}", report["fallback"]),
            (Arm::On, Some(revision)) => {
                figures.behind.push(served.saturating_sub(revision) as f64);
            }
            _ => {}
        }
        figures.changes += served;
        figures.add(&outcome, cpu, self.duration)?;
        process.kill();
        Ok(())
    }

    fn load(&self, load: &Load, process: &Process) -> anyhow::Result<(Outcome, Duration)> {
        load.run(WARM_UP, Some(self.options.rate))
            .context("warm-up")?;
        let before = process.usage()?.cpu;
        let outcome = load.run(self.duration, Some(self.options.rate))?;
        Ok((outcome, process.usage()?.cpu - before))
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
            p50: Vec::new(),
            p99: Vec::new(),
            p999: Vec::new(),
            seconds: Vec::new(),
            cpu: Vec::new(),
            changes: 0,
            behind: Vec::new(),
            all: Histogram::new(3).expect("three digits are a precision"),
        }
    }

    fn add(&mut self, outcome: &Outcome, cpu: Duration, wall: Duration) -> anyhow::Result<()> {
        let at = |quantile| outcome.latency.value_at_quantile(quantile) as f64;
        self.p50.push(at(0.5));
        self.p99.push(at(0.99));
        self.p999.push(at(0.999));
        self.seconds.extend(
            outcome
                .seconds
                .iter()
                .map(|second| second.value_at_quantile(0.99) as f64),
        );
        self.cpu.push(cpu.as_secs_f64() * 1e3 / wall.as_secs_f64());
        self.all.add(&outcome.latency)?;
        Ok(())
    }
}

fn print(
    options: &ExportArguments,
    changes: &Changes,
    rounds: usize,
    seconds: u64,
    figures: &[Figures; 3],
) {
    let [off, on, again] = figures;
    let row = |name: &str, figures: &Figures| {
        let pooled = |quantile| figures.all.value_at_quantile(quantile).to_string();
        vec![
            name.to_owned(),
            figures.all.len().to_string(),
            pooled(0.5),
            pooled(0.99),
            pooled(0.999),
            format!("{:.0}", median(&figures.seconds)),
            format!("{:.0}", median(&figures.cpu)),
            figures.changes.to_string(),
            match figures.behind.as_slice() {
                [] => "-".to_owned(),
                behind => format!("{:.0}", median(behind)),
            },
        ]
    };
    let storage = options.storage.as_deref().unwrap_or("a directory");
    table::print(
        &format!(
            "Export to {storage} while {} routes ({:.1} MiB) change every {} ms; {:.0} requests/s, {rounds} rounds of {seconds} s",
            options.routes,
            changes.bytes() as f64 / 1048576.0,
            options.interval,
            options.rate,
        ),
        &[
            "export",
            "requests",
            "p50 us",
            "p99 us",
            "p99.9 us",
            "p99 of the median second, us",
            "CPU ms/s",
            "changes served",
            "newest backup behind, changes",
        ],
        &[row("off", off), row("on", on), row("off, again", again)],
    );
    let ratios = |name: &str, figures: &Figures, quantile: f64, of: fn(&Figures) -> &[f64]| {
        // Both runs without export of a round are what the round's other run is compared with.
        let pairs: Vec<f64> = of(figures)
            .iter()
            .zip(of(off).iter().zip(of(again)))
            .map(|(value, (first, second))| value / ((first + second) / 2.0))
            .collect();
        let mut reference = off.all.clone();
        // Histograms of one kind can always be added.
        let _ = reference.add(&again.all);
        let pooled = figures.all.value_at_quantile(quantile) as f64
            / reference.value_at_quantile(quantile) as f64;
        vec![
            name.to_owned(),
            format!("{pooled:.3}"),
            format!("{:.3}", median(&pairs)),
            interval(&pairs, &[1.0]),
        ]
    };
    let p50: fn(&Figures) -> &[f64] = |figures| &figures.p50;
    let p99: fn(&Figures) -> &[f64] = |figures| &figures.p99;
    let p999: fn(&Figures) -> &[f64] = |figures| &figures.p999;
    table::print(
        "Ratio to the runs without export of the same round",
        &[
            "",
            "all rounds pooled",
            "median of rounds",
            "95 % interval of the median",
        ],
        &[
            ratios("p50, on", on, 0.5, p50),
            ratios("p99, on", on, 0.99, p99),
            ratios("p99.9, on", on, 0.999, p999),
            ratios("p99, off again (noise)", again, 0.99, p99),
        ],
    );
    let seconds = |name: &str, figures: &Figures, reference: &[f64]| {
        vec![
            name.to_owned(),
            format!("{:.3}", median(&figures.seconds) / median(reference)),
            interval(&figures.seconds, reference),
        ]
    };
    let reference = [off.seconds.as_slice(), again.seconds.as_slice()].concat();
    table::print(
        "Ratio of the p99 of the median second: what others do on the machine comes in bursts and counts less",
        &["", "ratio", "95 % interval"],
        &[
            seconds("on to off", on, &reference),
            seconds("off again to off (noise)", again, &off.seconds),
        ],
    );
}

/// An interval that holds the ratio of the medians of what was drawn, by resampling both with a
/// fixed seed.
fn interval(values: &[f64], reference: &[f64]) -> String {
    let (low, high) = bounds(values, reference);
    format!("{low:.3} to {high:.3}")
}

fn bounds(values: &[f64], reference: &[f64]) -> (f64, f64) {
    const TIMES: usize = 2_000;
    let mut random = fastrand::Rng::with_seed(1);
    let mut drawn = |from: &[f64]| {
        let drawn: Vec<f64> = from
            .iter()
            .map(|_| from[random.usize(..from.len())])
            .collect();
        median(&drawn)
    };
    let mut ratios: Vec<f64> = (0..TIMES)
        .map(|_| drawn(values) / drawn(reference))
        .collect();
    ratios.sort_by(f64::total_cmp);
    (ratios[TIMES / 40], ratios[TIMES - 1 - TIMES / 40])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_of_a_ratio_lies_around_it() {
        let (values, reference) = ([1.8, 2.0, 2.2, 2.0, 2.1, 1.9], [0.9, 1.0, 1.1]);
        let ratio = median(&values) / median(&reference);
        let (low, high) = bounds(&values, &reference);
        assert!(low <= ratio && ratio <= high);
        assert!(1.8 / 1.1 <= low && high <= 2.2 / 0.9);
    }
}
