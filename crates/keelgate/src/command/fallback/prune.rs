//! `keelgate fallback prune`: deletes old history objects, and forgets versions that are gone.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use keelgate_fallback::{Entry, HistoryName, Storage, VersionEntry, forget, prune};
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
    /// Versions of which the index alone knows.
    gone: Vec<String>,
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
                        "forgotten": plan.gone,
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
    let mut is_known = false;
    for (storage, listed) in locate::catalogues(access).await {
        let (gone, mut left): (Vec<_>, Vec<_>) = listed?
            .versions
            .into_iter()
            .partition(VersionEntry::is_gone);
        let gone: Vec<_> = gone.into_iter().map(|version| version.version).collect();
        is_known |= gone.contains(&arguments.version);
        left.retain(|version| version.version == arguments.version);
        let (mut goes, mut kept) = (Vec::new(), 0);
        if let Some(version) = left.pop() {
            is_known = true;
            (goes, kept) = too_old(access, storage.as_ref(), version, arguments).await?;
        } else if gone.is_empty() {
            continue;
        }
        plans.push(Plan {
            storage,
            kept,
            goes,
            gone,
        });
    }
    if !is_known {
        bail!("no storage has a version {}", arguments.version);
    }
    Ok(plans)
}

/// The history objects of a version that may go, and the number of the others.
async fn too_old(
    access: &Access,
    storage: &dyn Storage,
    version: VersionEntry,
    arguments: &PruneArgs,
) -> Result<(Vec<Entry>, usize)> {
    let mut config = version.config.with_context(|| {
        format!(
            "{}: version {} has no config.json: its history is all that data planes have, and stays",
            storage.location(),
            arguments.version
        )
    })?;
    let served = config.examine(storage, &access.verify).await;
    let Some(served) = served else {
        bail!(
            "{}: {} is not good: the history is all that data planes have, and stays (`keelgate fallback verify config` tells more)",
            storage.location(),
            config.key
        );
    };
    let keep = arguments.keep as usize;
    let total = version.history.len();
    let goes: Vec<_> = version
        .history
        .into_iter()
        .enumerate()
        .filter(|(at, entry)| {
            let name = entry.name.as_ref();
            name.is_some_and(|name| may_go(*at, keep, name, served.identity()))
        })
        .map(|(_, entry)| entry)
        .collect();
    let kept = total - goes.len();
    Ok((goes, kept))
}

/// Whether an object may go: beyond those that are kept, and older than what is served.
fn may_go(at: usize, keep: usize, name: &HistoryName, served: &Identity) -> bool {
    at >= keep && name.position < served.position()
}

async fn delete(access: &Access, plan: &Plan, arguments: &PruneArgs) -> Result<()> {
    let bar = output::progress(format!("deleting from {}", plan.storage.location()));
    let (keep, version) = (arguments.keep as usize, &arguments.version);
    let done = async {
        if !plan.goes.is_empty() {
            prune(&plan.storage, version, &access.verify, keep).await?;
        }
        if !plan.gone.is_empty() {
            forget(plan.storage.as_ref()).await?;
        }
        Ok(())
    };
    let done = done.await;
    bar.finish_and_clear();
    done
}

fn print(plan: &Plan, dry_run: bool) {
    anstream::println!("{NAME}{}{NAME:#}", plan.storage.location());
    for entry in &plan.goes {
        anstream::println!("  {FAINT}-{FAINT:#} {}", entry.key);
    }
    let would = if dry_run { "would be " } else { "" };
    anstream::println!("  {} {would}deleted, {} kept", plan.goes.len(), plan.kept);
    for version in &plan.gone {
        anstream::println!("  nothing is left of {version}: {would}taken out of the index");
    }
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
