//! Development tasks: `cargo xtask test`, `cargo xtask ci`, `cargo xtask reference`.

mod bench;
mod cargo_program;
mod ci;
mod clients;
mod conformance;
mod database_server;
mod debian;
mod long;
mod plugin_servers;
mod progress;
mod reference;
mod storage_server;
mod test;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use database_server::Durability;

/// Development tasks of Keelgate.
#[derive(Parser)]
#[command(name = "cargo xtask", version)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Get what the tests need, build, and run all tests.
    Test {
        /// Given to `cargo test`, such as `-p keelgate-router` or a test's name.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Minutes of killing and pausing backup nodes over every storage; not part of `ci`.
    Long(long::Plan),
    /// Everything that must hold before a change lands: format, lints,
    /// documentation, licences and sources of dependencies, all tests.
    Ci,
    /// Get the servers and judges that the tests need, and the linters, without running anything.
    Tools,
    /// Run the servers that the tests use until interrupted, and say how to reach them.
    Storage,
    /// Install the peers, and run the benchmarks against them.
    Bench {
        /// One of them; all when none is named.
        #[arg(value_enum)]
        scenario: Option<bench::Scenario>,
        /// Shorter runs: for a look, not for a claim.
        #[arg(long)]
        quick: bool,
    },
    /// Write keelgate.conf.default anew from the settings.
    Reference,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().task {
        Task::Test { arguments } => test::run(&arguments),
        Task::Long(plan) => long::run(&plan),
        Task::Ci => ci::run(),
        Task::Tools => ci::tools(),
        Task::Storage => database_server::start(Durability::None)
            .and_then(|server| storage_server::serve([server])),
        Task::Bench { scenario, quick } => bench::run(scenario, quick),
        Task::Reference => reference::write(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            progress::failed(&error);
            ExitCode::FAILURE
        }
    }
}
