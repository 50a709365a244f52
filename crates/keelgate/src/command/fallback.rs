//! `keelgate fallback`: see, test and use the fallback storage, also while the control plane is away.
//!
//! | module | what it knows |
//! |---|---|
//! | `ls`, `show`, `diff`, `verify`, `pull` | commands that read |
//! | `publish`, `rollback`, `prune` | commands that write |
//! | `doctor`, `drill` | commands that try |
//! | `access`, `locate`, `compile` | storages, snapshots by name, whether this build can serve one |
//! | `configuration`, `entities`, `difference` | what is in a snapshot, and what differs |
//! | `past`, `publication` | what was published; one publication past the control plane |
//! | `output` | tables, JSON, progress |

mod access;
mod compile;
pub(super) mod configuration;
pub(super) mod diff;
mod difference;
mod doctor;
mod drill;
mod entities;
mod locate;
mod ls;
mod output;
mod past;
mod prune;
mod publication;
mod publish;
mod pull;
mod rollback;
mod show;
mod verify;

pub(super) use access::Access;
pub(super) use difference::Difference;
pub(super) use past::Past;

use anyhow::Result;
use clap::Subcommand;

/// Commands for the fallback storage.
#[derive(Subcommand, Debug)]
pub(crate) enum FallbackCommand {
    /// List what lies there, who writes, and what a data plane of this build would choose.
    Ls(ls::ListArgs),
    /// Show one snapshot: identity, signature, who published it and why, how many entities.
    Show(show::ShowArgs),
    /// Show what differs between two configurations, entity by entity.
    Diff(diff::DiffArgs),
    /// Make every check that a data plane makes, and fail if one fails.
    Verify(verify::VerifyArgs),
    /// Write a snapshot as a file of declarative configuration.
    Pull(pull::PullArgs),
    /// Emergency publish: sign a declarative file as the next epoch, while the control plane is away.
    Publish(publish::PublishArgs),
    /// Bring an older snapshot back, as the next epoch.
    Rollback(rollback::RollbackArgs),
    /// Delete old history.
    Prune(prune::PruneArgs),
    /// Find out what the storage allows, and what to grant.
    Doctor(doctor::DoctorArgs),
    /// Boot a throw-away data plane from the real storage with its control plane away.
    Drill(drill::DrillArgs),
}

/// Runs one of them.
pub(crate) fn run(command: FallbackCommand) -> Result<()> {
    match command {
        FallbackCommand::Ls(arguments) => ls::run(&arguments),
        FallbackCommand::Show(arguments) => show::run(&arguments),
        FallbackCommand::Diff(arguments) => diff::run(&arguments),
        FallbackCommand::Verify(arguments) => verify::run(&arguments),
        FallbackCommand::Pull(arguments) => pull::run(&arguments),
        FallbackCommand::Publish(arguments) => publish::run(&arguments),
        FallbackCommand::Rollback(arguments) => rollback::run(&arguments),
        FallbackCommand::Prune(arguments) => prune::run(&arguments),
        FallbackCommand::Doctor(arguments) => doctor::run(&arguments),
        FallbackCommand::Drill(arguments) => drill::run(&arguments),
    }
}
