//! `keelgate fallback pull`: a snapshot as a file of declarative configuration.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::access::{Options, wait_for};
use super::configuration;
use super::locate::{self, Name};
use super::output::{self, Output};
use crate::command::config::{self, Existing};

/// Options of `keelgate fallback pull`.
#[derive(Args, Debug)]
pub(crate) struct PullArgs {
    /// EPOCH-REVISION or EPOCH-REVISION-HASH; default: what a data plane of this build would choose.
    #[arg(default_value = "config")]
    id: Name,
    #[command(flatten)]
    options: Options,
    /// Where it goes: JSON when the name ends so, else YAML; readable by its owner only.
    #[arg(
        short = 'o',
        long = "out",
        value_name = "FILE",
        default_value = "./kong.yml"
    )]
    out: PathBuf,
    /// Overwrite the file.
    #[arg(long)]
    force: bool,
}

/// Writes the configuration of a verified snapshot.
pub(crate) fn run(arguments: &PullArgs) -> Result<()> {
    let existing = match arguments.force {
        true => Existing::Replace,
        false => Existing::Keep,
    };
    config::check_target(&arguments.out, existing)?;
    let access = arguments.options.open()?;
    let snapshot = wait_for(locate::snapshot(&access, &arguments.id))?;
    let table = configuration::table(snapshot.config_json(), &access.schemas)?;
    config::write(&arguments.out, &table, existing)?;
    match arguments.options.output {
        Output::Json => output::json(&json!({
            "identity": snapshot.identity(),
            "file": arguments.out,
            "entities": table.len(),
        })),
        Output::Text => {
            anstream::println!(
                "wrote {} ({} entities of {}, with their secrets: readable by you only)",
                arguments.out.display(),
                table.len(),
                snapshot.identity()
            );
            Ok(())
        }
    }
}
