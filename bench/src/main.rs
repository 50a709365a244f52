//! Runs Keelgate and its peers side by side on one machine, in one run, and prints a table with
//! ratios. Reports, never asserts: see `bench/README.md` for how to read it.

mod birth;
mod connection;
mod control_plane;
mod cores;
mod data_plane;
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
mod router;
mod scale;
mod swap;
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
    Plugins(plugins::PluginsArguments),
    /// Cold start during an outage: exec to the first 200, from a snapshot in an S3 server.
    Birth(birth::BirthArguments),
    /// What exporting backups costs the requests of a data plane.
    Export(export::ExportArguments),
    /// Matching: cost, compile time and memory by the number of routes.
    Router(router::RouterArguments),
    /// Latency while one large configuration after another is taken over.
    Swap(swap::SwapArguments),
    /// A control plane with hundreds of thousands of entities: import, changes, Admin API, memory.
    Scale(scale::ScaleArguments),
    /// Serve as an upstream, for looking at a proxy by other means.
    Upstream(ends::UpstreamArguments),
    /// Send requests, for looking at a proxy by other means.
    Load(ends::LoadArguments),
    /// Relay bytes: the floor that `proxy` compares with.
    #[command(hide = true)]
    Relay(relay::RelayArguments),
}

/// The node's own allocator, so that memory and time are what they are there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let quick = arguments.quick;
    match &arguments.scenario {
        Scenario::Proxy(options) => proxy::run(&arguments.binary()?, options, quick),
        Scenario::Plugins(options) => plugins::run(&arguments.binary()?, options, quick),
        Scenario::Birth(options) => birth::run(&arguments.binary()?, options, quick),
        Scenario::Export(options) => export::run(&arguments.binary()?, options, quick),
        Scenario::Router(options) => router::run(options, quick),
        Scenario::Swap(options) => swap::run(&arguments.binary()?, options, quick),
        Scenario::Scale(options) => scale::run(&arguments.binary()?, options, quick),
        Scenario::Upstream(options) => ends::serve(options),
        Scenario::Load(options) => ends::load(options),
        Scenario::Relay(options) => relay::run(options),
    }
}

impl Arguments {
    /// The binary to measure, as a path that holds in every directory.
    fn binary(&self) -> anyhow::Result<PathBuf> {
        self.keelgate.canonicalize().with_context(|| {
            format!(
                "{} is missing: build it with `cargo build --release`",
                self.keelgate.display()
            )
        })
    }
}
