//! `keelgate migrations`: the tables of the database.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use keelgate_settings::{DatabaseKind, Settings};
use keelgate_store::{Migrations, SqliteStore};
use serde_json::json;

use super::confirm::Confirm;
use super::sources::Sources;
use super::wait_for;
use crate::database;

/// What `list` ends with where a database is not bootstrapped, as Kong's does.
const NEEDS_BOOTSTRAP: u8 = 3;
/// The same where `up` has something to do.
const NEEDS_UP: u8 = 5;

/// Commands for the tables of the database. A file of SQLite has its tables made and brought up to date
/// by the node that opens it.
#[derive(Subcommand, Debug)]
pub(crate) enum MigrationsCommand {
    /// Make the tables in an empty database.
    Bootstrap {
        #[command(flatten)]
        options: Options,
        /// Remove all tables with everything in them first.
        #[arg(short, long)]
        force: bool,
        #[command(flatten)]
        confirm: Confirm,
    },
    /// Make what this version adds to the tables.
    Up(Options),
    /// Has nothing left to do here: what `up` makes is whole. For scripts that know Kong.
    Finish(Options),
    /// List what was made, and what there is to make. Ends with 3 where the database needs
    /// bootstrapping, with 5 where `up` has something to do.
    List(Options),
    /// The same as JSON.
    Status(Options),
    /// Remove all tables with everything in them.
    Reset {
        #[command(flatten)]
        options: Options,
        #[command(flatten)]
        confirm: Confirm,
    },
}

/// Options of all of them.
#[derive(Args, Debug)]
pub(crate) struct Options {
    #[command(flatten)]
    sources: Sources,
    /// Seconds that the server may take for each answer; default: pg_timeout.
    #[arg(long, value_name = "SECONDS")]
    db_timeout: Option<u64>,
    /// Seconds to wait while another node runs migrations.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    lock_timeout: u64,
    /// Say nothing but errors.
    #[arg(short, long)]
    quiet: bool,
}

impl Options {
    fn say(&self, message: &str) {
        if !self.quiet {
            anstream::println!("{message}");
        }
    }
}

fn of(
    settings: &Settings,
    db_timeout: Option<u64>,
    lock_timeout: u64,
) -> Result<Option<Migrations>> {
    match settings.database.database {
        DatabaseKind::Off => bail!("there are no migrations with database = off"),
        DatabaseKind::Sqlite => return Ok(None),
        DatabaseKind::Postgres => {}
    }
    let mut server = database::server(settings)?;
    if let Some(seconds) = db_timeout {
        server.timeout = Duration::from_secs(seconds);
    }
    let patience = Duration::from_secs(lock_timeout);
    Ok(Some(Migrations::new(server, patience)))
}

/// Runs one of them.
pub(crate) fn run(command: &MigrationsCommand) -> Result<ExitCode> {
    let options = match command {
        MigrationsCommand::Bootstrap { options, .. }
        | MigrationsCommand::Up(options)
        | MigrationsCommand::Finish(options)
        | MigrationsCommand::List(options)
        | MigrationsCommand::Status(options)
        | MigrationsCommand::Reset { options, .. } => options,
    };
    let settings: Settings = options.sources.loader().load()?.settings;
    let Some(migrations) = of(&settings, options.db_timeout, options.lock_timeout)? else {
        return on_sqlite(command, options, &settings.sqlite_path());
    };
    wait_for(async {
        match command {
            MigrationsCommand::Bootstrap { force, confirm, .. } => {
                if *force {
                    reset(&migrations, confirm).await?;
                }
                let made = migrations.bootstrap().await?;
                options.say(match made.is_empty() {
                    true => "Database already bootstrapped",
                    false => "Database is up-to-date",
                });
            }
            MigrationsCommand::Up(_) => {
                let made = migrations.up().await?;
                for name in &made {
                    options.say(&format!("migrated {name}"));
                }
                options.say(match made.is_empty() {
                    true => "Database is already up-to-date",
                    false => "Database is up-to-date",
                });
            }
            MigrationsCommand::Finish(_) => {
                migrations.state().await?;
                options.say("No pending migrations to finish");
            }
            MigrationsCommand::List(_) => return list(&migrations, options).await,
            MigrationsCommand::Status(_) => {
                let state = migrations.state().await?;
                let status = json!({
                    "needs_bootstrap": !state.is_bootstrapped(),
                    "executed_migrations": state.executed,
                    "new_migrations": state.pending,
                    "unknown_migrations": state.unknown,
                });
                anstream::println!("{status}");
            }
            MigrationsCommand::Reset { confirm, .. } => {
                reset(&migrations, confirm).await?;
                options.say("Database successfully reset");
            }
        }
        Ok(ExitCode::SUCCESS)
    })?
}

/// Whoever opens a file brings it to the newest layout, so that there is little to do.
fn on_sqlite(command: &MigrationsCommand, options: &Options, path: &Path) -> Result<ExitCode> {
    let reset = |confirm: &Confirm| -> Result<()> {
        if path.exists() {
            let place = path.display();
            confirm.ask(&format!("Remove everything from {place}?"))?;
            SqliteStore::reset(path).with_context(|| format!("cannot reset {place}"))?;
        }
        Ok(())
    };
    match command {
        MigrationsCommand::Bootstrap {
            force: true,
            confirm,
            ..
        } => {
            reset(confirm)?;
            options.say("Database is up-to-date: the node that opens it makes its tables");
        }
        MigrationsCommand::Reset { confirm, .. } => {
            reset(confirm)?;
            options.say("Database successfully reset");
        }
        _ => {
            options.say("an SQLite database needs no migrations: the node that opens it runs them");
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn reset(migrations: &Migrations, confirm: &Confirm) -> Result<()> {
    if migrations.state().await?.is_bootstrapped() {
        confirm.ask("Remove all tables of Keelgate with everything in them?")?;
    }
    Ok(migrations.reset().await?)
}

async fn list(migrations: &Migrations, options: &Options) -> Result<ExitCode> {
    let state = migrations.state().await?;
    if !state.is_bootstrapped() {
        options.say("Database needs bootstrapping: run 'keelgate migrations bootstrap'");
        return Ok(ExitCode::from(NEEDS_BOOTSTRAP));
    }
    options.say(&format!(
        "Executed migrations:\n{}",
        state.executed.join("\n")
    ));
    if state.pending.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    options.say(&format!(
        "\nNew migrations available:\n{}\n\nRun 'keelgate migrations up' to proceed",
        state.pending.join("\n")
    ));
    Ok(ExitCode::from(NEEDS_UP))
}

/// Brings a PostgreSQL database to this version before a node starts on it.
pub(crate) fn make_ready(settings: &Settings, lock_timeout: Option<u64>) -> Result<()> {
    const PATIENCE: u64 = 60;
    if settings.database.database != DatabaseKind::Postgres {
        return Ok(());
    }
    match of(settings, None, lock_timeout.unwrap_or(PATIENCE))? {
        Some(migrations) => wait_for(async { migrations.bootstrap().await })?
            .map(drop)
            .map_err(Into::into),
        None => Ok(()),
    }
}
