//! Runs Keelgate and its peers side by side on one machine, in one run, and prints a table with
//! ratios. Reports, never asserts: see `bench/README.md` for how to read it.

mod birth;
mod connection;
mod control_plane;
mod ends;
mod export;
mod identity;
mod load;
mod peers;
mod plugins;
mod policy;
mod port;
mod process;
mod proxy;
mod relay;
mod request;
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
    /// CPU per request, latency and memory, beside nginx, HAProxy, Envoy and Kong.
    Proxy(proxy::ProxyArguments),
    /// What each plugin adds to a request.
    Plugins,
    /// Cold start during an outage: exec to the first 200, from a snapshot in an S3 server.
    Birth(birth::BirthArguments),
    /// What exporting backups costs the requests of a data plane.
    Export(export::ExportArguments),
    /// Serve as an upstream, for looking at a proxy by other means.
    Upstream(ends::UpstreamArguments),
    /// Send requests, for looking at a proxy by other means.
    Load(ends::LoadArguments),
    /// Relay bytes: the floor that `proxy` compares with.
    #[command(hide = true)]
    Relay(relay::RelayArguments),
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match &arguments.scenario {
        Scenario::Upstream(options) => return ends::serve(options),
        Scenario::Load(options) => return ends::load(options),
        Scenario::Relay(options) => return relay::run(options),
        _ => {}
    }
    let keelgate = arguments.keelgate.canonicalize().with_context(|| {
        format!(
            "{} is missing: build it with `cargo build --release`",
            arguments.keelgate.display()
        )
    })?;
    match arguments.scenario {
        Scenario::Proxy(options) => proxy::run(&keelgate, &options, arguments.quick),
        Scenario::Plugins => plugins::run(&keelgate, arguments.quick),
        Scenario::Birth(options) => birth::run(&keelgate, &options, arguments.quick),
        Scenario::Export(options) => export::run(&keelgate, &options, arguments.quick),
        Scenario::Upstream(_) | Scenario::Load(_) | Scenario::Relay(_) => Ok(()),
    }
}
