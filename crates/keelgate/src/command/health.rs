//! `keelgate health`: whether a node runs.

use anyhow::{Result, bail, ensure};
use clap::Args;

use super::pid_file::PidFile;
use super::sources::Prefix;

/// Options of `keelgate health`.
#[derive(Args, Debug)]
pub(crate) struct HealthArgs {
    #[command(flatten)]
    prefix: Prefix,
}

/// Succeeds when the node of the prefix runs.
pub(crate) fn health(arguments: &HealthArgs) -> Result<()> {
    let prefix = arguments.prefix.loader().prefix()?;
    ensure!(prefix.exists(), "no such prefix: {}", prefix.display());
    match PidFile::of(&prefix).running()? {
        Some(pid) => {
            anstream::println!("keelgate....running (process {pid})\n");
            anstream::println!("Keelgate is healthy at {}", prefix.display());
            Ok(())
        }
        None => bail!("Keelgate is not running at {}", prefix.display()),
    }
}
