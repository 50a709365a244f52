//! `keelgate stop`, `quit` and `reload`: signals to a running node.

use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use rustix::process::Signal;

use super::pid_file::PidFile;
use super::sources::{Prefix, Sources};

/// How long a node that was told to stop at once may take; longer than it gives
/// to requests in flight.
const PATIENCE: Duration = Duration::from_secs(20);

/// Options of `keelgate stop`.
#[derive(Args, Debug)]
pub(crate) struct StopArgs {
    #[command(flatten)]
    prefix: Prefix,
}

/// Options of `keelgate quit`.
#[derive(Args, Debug)]
pub(crate) struct QuitArgs {
    #[command(flatten)]
    prefix: Prefix,
    /// Seconds that requests in flight may take before the node is stopped.
    #[arg(short, long, default_value_t = 10)]
    timeout: u64,
    /// Seconds to wait before the node is told.
    #[arg(short, long, default_value_t = 0)]
    wait: u64,
}

/// Options of `keelgate reload`.
#[derive(Args, Debug)]
pub(crate) struct ReloadArgs {
    #[command(flatten)]
    sources: Sources,
    #[arg(long, hide = true)]
    nginx_conf: Option<String>,
    #[arg(long, hide = true)]
    nginx_conf_flags: Option<String>,
}

/// Stops a node at once.
pub(crate) fn stop(arguments: &StopArgs) -> Result<()> {
    let node = PidFile::of(&arguments.prefix.loader().prefix()?);
    stop_node(&node)?;
    anstream::println!("Keelgate stopped");
    Ok(())
}

/// Stops a node and waits for its end.
pub(super) fn stop_node(node: &PidFile) -> Result<()> {
    node.signal(Signal::TERM)?;
    if !node.wait_for_end(PATIENCE)? {
        bail!(
            "the node still runs {} s after it was told to stop",
            PATIENCE.as_secs()
        );
    }
    Ok(())
}

/// Stops a node after the requests in flight.
pub(crate) fn quit(arguments: &QuitArgs) -> Result<()> {
    let node = PidFile::of(&arguments.prefix.loader().prefix()?);
    if node.running()?.is_some()
        && arguments.wait > 0
        && node.wait_for_end(Duration::from_secs(arguments.wait))?
    {
        bail!("the node ended by itself before it was told to");
    }
    node.signal(Signal::QUIT)?;
    if node.wait_for_end(Duration::from_secs(arguments.timeout.max(1)))? {
        anstream::println!("Keelgate stopped (gracefully)");
    } else {
        stop_node(&node)?;
        anstream::println!("Timeout, Keelgate stopped forcefully");
    }
    Ok(())
}

/// Lets a node read its settings anew. They are checked first: a node is never
/// told to read settings that it could not use.
pub(crate) fn reload(arguments: &ReloadArgs) -> Result<()> {
    let loaded = arguments.sources.loader().load()?;
    super::print::problems(loaded.warnings());
    PidFile::of(&loaded.settings.node.prefix).signal(Signal::HUP)?;
    anstream::println!("Keelgate reloaded");
    Ok(())
}
