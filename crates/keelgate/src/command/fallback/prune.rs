//! `keelgate fallback prune`: deletes old history objects.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use keelgate_fallback::{Entry, HistoryName, Storage, prune};
use keelgate_snapshot::Identity;
use serde_json::json;

use super::access::{Access, Options, wait_for};
use super::locate;
use super::output::{self, FAINT, NAME, Output};

/// Options of `keelgate fallback prune`.
#[derive(Args, Debug)]
pub(crate) struct PruneArgs {
    #[command(flatten)]
    options: Options,
    /// How many of the newest are kept in each version's history.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    keep: u32,
    /// The version whose history is shortened; default: this build's.
    #[arg(long, default_value = env!("CARGO_PKG_VERSION"))]
    version: String,
    /// Tell what would be deleted, and delete nothing.
    #[arg(long)]
    dry_run: bool,
}

/// What is to go from one storage.
struct Plan {
    storage: Arc<dyn Storage>,
    kept: usize,
    goes: Vec<Entry>,
}

/// Deletes what is too old in every storage.
pub(crate) fn run(arguments: &PruneArgs) -> Result<()> {
    let access = arguments.options.open()?;
    let plans = wait_for(async {
        let plans = plans(&access, arguments).await?;
        if !arguments.dry_run {
            for plan in &plans {
                delete(&access, plan, arguments).await?;
            }
        }
        Ok(plans)
    })?;
    match arguments.options.output {
        Output::Json => {
            let report: Vec<_> = plans
                .iter()
                .map(|plan| {
                    let goes: Vec<&str> = plan.goes.iter().map(|one| one.key.as_str()).collect();
                    json!({
                        "storage": plan.storage.location(),
                        "kept": plan.kept,
                        "deleted": goes,
                        "dry_run": arguments.dry_run,
                    })
                })
                .collect();
            output::json(&report)?;
        }
        Output::Text => plans.iter().for_each(|plan| print(plan, arguments.dry_run)),
    }
    Ok(())
}

async fn plans(access: &Access, arguments: &PruneArgs) -> Result<Vec<Plan>> {
    let mut plans = Vec::new();
    for (storage, listed) in locate::catalogues(access).await {
        let version = listed?
            .versions
            .into_iter()
            .find(|version| version.version == arguments.version);
        let Some(version) = version else { continue };
        let mut config = version.config.with_context(|| {
            format!(
                "{}: version {} has no config.json: its history is all that data planes have, and stays",
                storage.location(),
                arguments.version
            )
        })?;
        let served = config.examine(storage.as_ref(), &access.verify).await;
        let Some(served) = served else {
            bail!(
                "{}: {} is not good: the history is all that data planes have, and stays (`keelgate fallback verify config` tells more)",
                storage.location(),
                config.key
            );
        };
        let keep = arguments.keep as usize;
        let (goes, kept): (Vec<_>, Vec<_>) =
            version
                .history
                .into_iter()
                .enumerate()
                .partition(|(at, entry)| {
                    let name = entry.name.as_ref();
                    name.is_some_and(|name| may_go(*at, keep, name, served.identity()))
                });
        plans.push(Plan {
            storage,
            kept: kept.len(),
            goes: goes.into_iter().map(|(_, entry)| entry).collect(),
        });
    }
    if plans.is_empty() {
        bail!("no storage has a version {}", arguments.version);
    }
    Ok(plans)
}

/// Whether an object may go: beyond those that are kept, and older than what is served.
fn may_go(at: usize, keep: usize, name: &HistoryName, served: &Identity) -> bool {
    at >= keep && name.position < served.position()
}

async fn delete(access: &Access, plan: &Plan, arguments: &PruneArgs) -> Result<()> {
    let bar = output::progress(format!("deleting from {}", plan.storage.location()));
    let (keep, version) = (arguments.keep as usize, &arguments.version);
    let deleted = prune(&plan.storage, version, &access.verify, keep).await;
    bar.finish_and_clear();
    deleted?;
    Ok(())
}

fn print(plan: &Plan, dry_run: bool) {
    anstream::println!("{NAME}{}{NAME:#}", plan.storage.location());
    for entry in &plan.goes {
        anstream::println!("  {FAINT}-{FAINT:#} {}", entry.key);
    }
    let done = match dry_run {
        true => "would be deleted",
        false => "deleted",
    };
    anstream::println!("  {} {done}, {} kept", plan.goes.len(), plan.kept);
}

#[cfg(test)]
mod tests {
    use keelgate_snapshot::Digest;

    use super::*;

    #[test]
    fn what_is_served_or_newer_is_never_deleted() {
        let served = Identity {
            cluster_id: uuid::Uuid::nil(),
            epoch: 1,
            revision: 5,
            sha256: Digest([0xab; 32]),
        };
        let may_go = |at, name: &str| {
            let name = HistoryName::parse(name).unwrap();
            may_go(at, 2, &name, &served)
        };
        assert!(may_go(2, "1-4-ab.json"));
        assert!(!may_go(1, "1-4-ab.json"), "one of those that are kept");
        assert!(!may_go(9, "1-5-abababababab.json"), "served");
        assert!(!may_go(9, "1-5-00.json"), "a fork of what is served");
        assert!(!may_go(9, "2-1-00.json"), "newer");
    }
}
