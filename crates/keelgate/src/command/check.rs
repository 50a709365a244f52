//! `keelgate check`: everything that is wrong with settings.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use keelgate_settings::{LoadError, Role, Settings, Severity};

use super::print;
use super::sources::Sources;
use crate::node;

/// Options of `keelgate check`.
#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// Configuration file; when none is named, the first of the default ones.
    file: Option<PathBuf>,
    #[command(flatten)]
    sources: Sources,
}

/// Tells every problem with the settings of the file and the environment; notes
/// about what has no effect too, when asked to tell more. Fails on errors.
pub(crate) fn check(arguments: &CheckArgs, verbose: bool) -> Result<()> {
    let loader = match &arguments.file {
        Some(file) => arguments.sources.loader().file(file),
        None => arguments.sources.loader(),
    };
    let (problems, outcome) = match loader.load() {
        Ok(loaded) => {
            opens(&loaded.settings)?;
            (loaded.remarks, Ok(loaded.file))
        }
        Err(LoadError::Invalid { problems }) => (problems, Err(())),
        Err(error) => return Err(error.into()),
    };
    print::problems(
        problems
            .iter()
            .filter(|p| verbose || p.severity > Severity::Note),
    );
    let count = |severity| problems.iter().filter(|p| p.severity == severity).count();
    let counts = format!(
        "{} errors, {} warnings, {} notes{}",
        count(Severity::Error),
        count(Severity::Warning),
        count(Severity::Note),
        if verbose || count(Severity::Note) == 0 {
            ""
        } else {
            " (shown with --v)"
        },
    );
    match outcome {
        Ok(Some(file)) => {
            anstream::println!("configuration at {} is valid: {counts}", file.display());
            Ok(())
        }
        Ok(None) => {
            anstream::println!("configuration of the environment is valid: {counts}");
            Ok(())
        }
        Err(()) => anyhow::bail!("the configuration is not valid: {counts}"),
    }
}

/// Tries what ends the start of a node beside its settings: plugins that this build does not have,
/// certificates that do not fit one another, and storages that refuse their options.
fn opens(settings: &Settings) -> Result<()> {
    node::has_plugins(settings)?;
    if settings.node.role == Role::Traditional {
        return Ok(());
    }
    node::ClusterIdentity::read(settings)?;
    node::storages(settings)?;
    Ok(())
}
