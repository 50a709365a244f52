//! What a new configuration costs the requests in flight: latency of a data plane while it takes
//! over one large configuration after another, against the same one left alone.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use hdrhistogram::Histogram;
use tokio_util::sync::CancellationToken;

use crate::control_plane::Changes;
use crate::data_plane::{Cluster, DataPlane};
use crate::load::Outcome;
use crate::table::{self, median};

/// Options of `swap`.
#[derive(Args)]
pub(crate) struct SwapArguments {
    /// How many routes the configuration holds.
    #[arg(long, default_value_t = 100_000)]
    routes: usize,
    /// Requests per second: far below what the machine carries, so that latency shows disturbance
    /// and not load.
    #[arg(long, default_value_t = 1_000.0)]
    rate: f64,
    /// Milliseconds between two configurations.
    #[arg(long, default_value_t = 3_000)]
    interval: u64,
    /// How often each arm is measured.
    #[arg(long)]
    rounds: Option<usize>,
    /// How long one measurement takes, in seconds.
    #[arg(long)]
    seconds: Option<u64>,
}

/// Load before a measurement begins.
const WARM_UP: Duration = Duration::from_secs(2);

/// The runs of a round, in one process: the second steady one tells how much two equal runs differ
/// on this machine.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Arm {
    Steady,
    Swapping,
    SteadyAgain,
}

const ARMS: [Arm; 3] = [Arm::Steady, Arm::Swapping, Arm::SteadyAgain];

/// What one arm showed: a value per round, and everything together.
struct Figures {
    p99: Vec<f64>,
    memory: Vec<f64>,
    cpu: Vec<f64>,
    swaps: usize,
    all: Histogram<u64>,
}

/// Measures all arms several rounds over, and prints the table.
pub(crate) fn run(keelgate: &Path, options: &SwapArguments, quick: bool) -> anyhow::Result<()> {
    let rounds = options.rounds.unwrap_or(if quick { 2 } else { 6 });
    let seconds = options.seconds.unwrap_or(if quick { 10 } else { 20 });
    let duration = Duration::from_secs(seconds);
    let interval = Duration::from_millis(options.interval.max(1));
    let count = duration.div_duration_f64(interval).ceil() as usize + 1;
    let bench = Bench {
        cluster: Cluster::prepare(keelgate, options.routes, count.max(2))?,
        options,
        duration,
        interval,
    };
    let mut figures = ARMS.map(|_| Figures::new());
    for round in 0..rounds {
        bench
            .round(round, &mut figures)
            .with_context(|| format!("round {round}"))?;
    }
    print(options, &bench.cluster.changes, rounds, seconds, &figures);
    Ok(())
}

struct Bench<'a> {
    cluster: Cluster<'a>,
    options: &'a SwapArguments,
    duration: Duration,
    interval: Duration,
}

impl Bench<'_> {
    fn round(&self, round: usize, figures: &mut [Figures; 3]) -> anyhow::Result<()> {
        let status = ("KONG_STATUS_LISTEN", "off".to_owned());
        let data_plane = self.cluster.start(&round.to_string(), [status])?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let load = &data_plane.load;
        load.run(WARM_UP, Some(self.options.rate))
            .context("warm-up")?;
        for (arm, figures) in ARMS.into_iter().zip(figures) {
            let before = data_plane.process.usage()?.cpu;
            let (outcome, swaps) = self.arm(arm, &data_plane, &runtime)?;
            let after = data_plane.process.usage()?;
            figures.add(
                &outcome,
                swaps,
                after.memory,
                after.cpu - before,
                self.duration,
            )?;
        }
        let told = data_plane.end()?;
        ensure!(
            !told.contains("refused"),
            "a configuration was refused:\n{told}"
        );
        Ok(())
    }

    /// Loads for the duration; a request that fails ends the run. Returns how many configurations
    /// were sent meanwhile.
    fn arm(
        &self,
        arm: Arm,
        data_plane: &DataPlane,
        runtime: &tokio::runtime::Runtime,
    ) -> anyhow::Result<(Outcome, usize)> {
        let stop = CancellationToken::new();
        std::thread::scope(|scope| {
            let feeding = (arm == Arm::Swapping).then(|| {
                let changes = &self.cluster.changes;
                let feed = changes.feed(&data_plane.control_plane, self.interval, stop.clone());
                scope.spawn(|| runtime.block_on(feed))
            });
            let outcome = data_plane.load.run(self.duration, Some(self.options.rate));
            stop.cancel();
            let swaps = feeding.map_or(0, |feeding| feeding.join().unwrap_or_default());
            Ok((outcome?, swaps))
        })
    }
}

impl Figures {
    fn new() -> Self {
        Self {
            p99: Vec::new(),
            memory: Vec::new(),
            cpu: Vec::new(),
            swaps: 0,
            all: Histogram::new(3).expect("three digits are a precision"),
        }
    }

    fn add(
        &mut self,
        outcome: &Outcome,
        swaps: usize,
        memory: u64,
        cpu: Duration,
        wall: Duration,
    ) -> anyhow::Result<()> {
        self.p99
            .push(outcome.latency.value_at_quantile(0.99) as f64);
        self.memory.push(memory as f64 / 1048576.0);
        self.cpu.push(cpu.as_secs_f64() * 1e3 / wall.as_secs_f64());
        self.swaps += swaps;
        self.all.add(&outcome.latency)?;
        Ok(())
    }
}

fn print(
    options: &SwapArguments,
    changes: &Changes,
    rounds: usize,
    seconds: u64,
    figures: &[Figures; 3],
) {
    let [steady, swapping, again] = figures;
    let ratio = |figures: &Figures| {
        let pairs: Vec<f64> = figures
            .p99
            .iter()
            .zip(steady.p99.iter().zip(&again.p99))
            .map(|(own, (before, after))| own / ((before + after) / 2.0))
            .collect();
        format!("{:.2}", median(&pairs))
    };
    let row = |name: &str, figures: &Figures| {
        let pooled = |quantile| figures.all.value_at_quantile(quantile).to_string();
        vec![
            name.to_owned(),
            figures.all.len().to_string(),
            figures.swaps.to_string(),
            pooled(0.5),
            pooled(0.99),
            pooled(0.999),
            figures.all.max().to_string(),
            ratio(figures),
            format!("{:.0}", median(&figures.cpu)),
            format!("{:.0}", median(&figures.memory)),
        ]
    };
    table::print(
        &format!(
            "{} routes ({:.1} MiB) swapped every {} ms, the gateway on one processor; {:.0} requests/s, {rounds} rounds of {seconds} s an arm, no request failed",
            options.routes,
            changes.bytes() as f64 / 1048576.0,
            options.interval,
            options.rate,
        ),
        &[
            "",
            "requests",
            "swaps",
            "p50 us",
            "p99 us",
            "p99.9 us",
            "max us",
            "p99 to steady, median of rounds",
            "CPU ms/s",
            "RSS MiB",
        ],
        &[
            row("steady", steady),
            row("swapping", swapping),
            row("steady again", again),
        ],
    );
}
