//! Runs Keelgate and its peers side by side on one machine, in one run, and prints a table with
//! ratios. Reports, never asserts: see `bench/README.md` for how to read it.

mod birth;
mod connection;
mod control_plane;
mod export;
mod load;
mod peers;
mod port;
mod process;
mod proxy;
mod table;
mod upstream;
mod wait;

use std::path::PathBuf;

use anyhow::Context;
use clap::{Parser, Subcommand};

/// Keelgate and its peers, side by side.
#[derive(Parser)]
struct Arguments {
    /// The release binary to measure.
    #[arg(
        long,
        env = "KEELGATE_BIN",
        default_value = "target/release/keelgate",
        global = true
    )]
    keelgate: PathBuf,
    /// Shorter runs and fewer rounds: for a look, not for a claim.
    #[arg(long, global = true)]
    quick: bool,
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Subcommand)]
enum Scenario {
    /// CPU per request, latency and memory of the plain proxy, against nginx, HAProxy and Envoy.
    Proxy,
    /// Cold start during an outage: exec to the first 200, from a snapshot in an S3 server.
    Birth(birth::BirthArguments),
    /// What exporting backups costs the requests of a data plane.
    Export(export::ExportArguments),
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let keelgate = arguments.keelgate.canonicalize().with_context(|| {
        format!(
            "{} is missing: build it with `cargo build --release`",
            arguments.keelgate.display()
        )
    })?;
    match arguments.scenario {
        Scenario::Proxy => proxy::run(&keelgate, arguments.quick),
        Scenario::Birth(options) => birth::run(&keelgate, &options, arguments.quick),
        Scenario::Export(options) => export::run(&keelgate, &options, arguments.quick),
    }
}
