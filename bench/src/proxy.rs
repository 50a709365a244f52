//! Requests through every peer: CPU per request, latency at a fixed rate, memory.

mod measure;
mod report;
mod scenario;

use std::path::Path;
use std::time::Duration;

use anyhow::ensure;
use clap::Args;

use crate::identity::Identity;
use crate::{peers, table, upstream};

pub(crate) use measure::{Bench, Figures};
use report::Report;

/// Options of `proxy`.
#[derive(Args)]
pub(crate) struct ProxyArguments {
    /// Measure only the scenarios whose names contain one of these.
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    /// Measure only these peers, beside Keelgate.
    #[arg(long, value_name = "NAME")]
    peer: Vec<String>,
    /// How often each peer is measured in each scenario.
    #[arg(long)]
    rounds: Option<usize>,
    /// How long one measurement takes, in seconds.
    #[arg(long)]
    seconds: Option<f64>,
}

/// Measures every peer in turn, several rounds over, and prints one table.
pub(crate) fn run(keelgate: &Path, options: &ProxyArguments, quick: bool) -> anyhow::Result<()> {
    let (rounds, seconds) = if quick { (2, 1.0) } else { (5, 4.0) };
    let rounds = options.rounds.unwrap_or(rounds);
    let seconds = options.seconds.unwrap_or(seconds);
    let directory = tempfile::tempdir()?;
    let identity = Identity::make(directory.path())?;
    let (mut peers, missing) = peers::all(keelgate)?;
    if !options.peer.is_empty() {
        peers.retain(|peer| {
            peer.name == "keelgate" || options.peer.iter().any(|name| name == peer.name)
        });
    }
    let mut scenarios = scenario::all(&identity)?;
    if !options.only.is_empty() {
        scenarios.retain(|scenario| options.only.iter().any(|text| scenario.name.contains(text)));
    }
    ensure!(!scenarios.is_empty(), "no scenario has such a name");
    let bench = Bench {
        directory: directory.path(),
        upstream: upstream::start()?,
        identity: &identity,
        duration: Duration::from_secs_f64(seconds),
    };
    let mut rows = Vec::new();
    for scenario in &scenarios {
        let mut figures: Vec<Option<Figures>> = peers
            .iter()
            .map(|peer| scenario.suits(peer).then(Figures::default))
            .collect();
        for _ in 0..rounds {
            for (peer, figures) in peers.iter().zip(&mut figures) {
                if let Some(figures) = figures {
                    bench.measure(peer, scenario, figures)?;
                }
            }
        }
        rows.push((scenario, figures));
    }
    let report = Report {
        peers: &peers,
        rows,
    };
    report.print(&format!(
        "Two workers each; {rounds} rounds of {seconds} s; latency at a fixed rate"
    ));
    if !missing.is_empty() {
        table::note(&format!(
            "not installed, so not measured: {} (see bench/README.md)",
            missing.join(", ")
        ));
    }
    Ok(())
}
