//! The long suite: minutes of storm over every storage.

use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::{progress, storage_server, workspace};

/// What is run, and for how long.
#[derive(clap::Args)]
pub(crate) struct Plan {
    /// Minutes of storm over each storage.
    #[arg(long, default_value_t = 3)]
    minutes: u64,
    /// One storage only: s3, unfenced_s3, gcs, azure, directory or garage.
    #[arg(long)]
    only: Option<String>,
    /// Chooses who is struck, when and how; by default another one every time.
    #[arg(long)]
    seed: Option<u64>,
}

/// Gets the servers, builds, and runs the tests that the ordinary suite leaves out.
pub(crate) fn run(plan: &Plan) -> Result<()> {
    let started = Instant::now();
    let programs = storage_server::get()?;
    progress::step("building the gateway");
    workspace::run(&mut workspace::cargo(&[
        "build",
        "--package",
        "keelgate",
        "--quiet",
    ]))?;
    let servers = programs.start()?;
    let wanted = |storage: &str| plan.only.as_deref().is_none_or(|only| only == storage);
    let garage = wanted("garage")
        .then(storage_server::garage::start)
        .transpose()
        .context("Garage")?;
    progress::step("running the long suite");
    let mut command = workspace::cargo(&["test", "--quiet", "--package", "e2e", "--test", "storm"]);
    command
        .args(["--", "--ignored", "--nocapture", "--test-threads", "1"])
        .args(plan.only.as_ref().map(|only| format!("over_{only}_")))
        .envs(servers.variables())
        .envs(garage.iter().flat_map(storage_server::Server::variables))
        .env("KEELGATE_STORM_SECONDS", (plan.minutes * 60).to_string())
        .env("KEELGATE_BIN", workspace::target().join("debug/keelgate"));
    if let Some(seed) = plan.seed {
        command.env("KEELGATE_STORM_SEED", seed.to_string());
    }
    workspace::run(&mut command)?;
    progress::done(&format!(
        "the long suite passed ({} s)",
        started.elapsed().as_secs()
    ));
    Ok(())
}
