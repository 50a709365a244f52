//! The command line: one module per command.

mod check;
mod config;
mod confirm;
mod fallback;
mod health;
pub(crate) mod hybrid;
mod migrations;
mod pid_file;
mod print;
mod sources;
mod start;
mod status;
mod stop;
mod version;

use std::process::ExitCode;

use clap::{ArgAction, Parser, Subcommand};

pub(crate) use pid_file::Claim;

use crate::demo;

/// An API gateway whose data planes survive control-plane outages.
#[derive(Parser, Debug)]
#[command(
    name = "keelgate",
    version,
    max_term_width = 100,
    subcommand_required = true
)]
struct Arguments {
    /// Tell more.
    #[arg(long = "v", global = true, action = ArgAction::SetTrue)]
    verbose: bool,
    /// Tell everything.
    #[arg(long = "vv", global = true, action = ArgAction::SetTrue)]
    very_verbose: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Start a node, and return when it is ready.
    Start(start::StartArgs),
    /// Stop a node at once.
    Stop(stop::StopArgs),
    /// Stop a node after the requests in flight.
    Quit(stop::QuitArgs),
    /// Let a node read its settings and certificates anew, without losing a request.
    Reload(stop::ReloadArgs),
    /// Stop a node, and start it again; or have it hand over to a new process.
    Restart(start::RestartArgs),
    /// Check settings: tell everything that is wrong, where, and how to mend it.
    Check(check::CheckArgs),
    /// Tell whether a node runs.
    Health(health::HealthArgs),
    /// Tell what a node serves, from which source, and what it tried.
    Status(status::StatusArgs),
    /// Print the version.
    Version(version::VersionArgs),
    /// Work with declarative configuration.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Make, migrate or remove the tables of the database.
    #[command(subcommand)]
    Migrations(migrations::MigrationsCommand),
    /// See, test and use the fallback storage.
    #[command(subcommand)]
    Fallback(fallback::FallbackCommand),
    /// Set up a cluster.
    #[command(subcommand)]
    Hybrid(hybrid::HybridCommand),
    /// See the main job done: a data plane is born while its control plane is dead.
    Demo(demo::DemoArgs),
}

/// Runs the command that was given. 0: done; 1: failed; 2: not understood.
pub(crate) fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let verbose = arguments.verbose || arguments.very_verbose;
    let done = match arguments.command {
        Command::Start(arguments) => start::start(&arguments),
        Command::Stop(arguments) => stop::stop(&arguments),
        Command::Quit(arguments) => stop::quit(&arguments),
        Command::Reload(arguments) => stop::reload(&arguments),
        Command::Restart(arguments) => start::restart(&arguments),
        Command::Check(arguments) => check::check(&arguments, verbose),
        Command::Health(arguments) => health::health(&arguments),
        Command::Status(arguments) => status::status(&arguments),
        Command::Version(arguments) => {
            version::version(&arguments);
            Ok(())
        }
        Command::Config(command) => config::run(command),
        Command::Migrations(command) => match migrations::run(&command) {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
        Command::Fallback(command) => fallback::run(command),
        Command::Hybrid(command) => hybrid::run(&command),
        Command::Demo(arguments) => demo::run(arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// Tells what went wrong.
pub(crate) fn fail(error: &anyhow::Error) -> ExitCode {
    print::failure(error);
    ExitCode::FAILURE
}

/// Waits for work that needs no more than this thread.
fn wait_for<T>(work: impl Future<Output = T>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(work))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn what_kong_understands_is_understood() {
        for line in [
            "keelgate start -c kong.conf -p /srv/node --nginx-conf x --run-migrations --vv",
            "keelgate start --conf kong.conf --db-timeout 5 --lock-timeout 9",
            "keelgate quit -p /srv/node -t 30 -w 2",
            "keelgate stop --prefix /srv/node",
            "keelgate reload -c kong.conf",
            "keelgate check /etc/kong/kong.conf",
            "keelgate version -a",
            "keelgate health -p /srv/node",
            "keelgate config parse kong.yml",
            "keelgate config db_import kong.yml -c kong.conf",
            "keelgate config db_export",
            "keelgate migrations bootstrap -c kong.conf --lock-timeout 9",
            "keelgate migrations bootstrap -f -y",
            "keelgate migrations up -q --db-timeout 5",
            "keelgate migrations finish",
            "keelgate migrations list",
            "keelgate migrations status",
            "keelgate migrations reset -y",
            "keelgate hybrid gen_cert a.crt a.key -d 10",
        ] {
            Arguments::try_parse_from(line.split(' ')).unwrap();
        }
    }
}
