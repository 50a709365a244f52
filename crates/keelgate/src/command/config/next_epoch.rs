//! `keelgate config next_epoch`: a control plane becomes the authority again.

use anyhow::{Result, bail};
use clap::Args;
use keelgate_settings::Settings;
use keelgate_snapshot::Snapshot;
use keelgate_store::{Position, Store};
use serde_json::Value;
use uuid::Uuid;

use super::open;
use crate::command::confirm::Confirm;
use crate::command::fallback::{Access, Difference, Past, diff};
use crate::command::print;
use crate::command::sources::Sources;
use crate::command::wait_for;

/// Options of `keelgate config next_epoch`.
#[derive(Args, Debug)]
pub(crate) struct NextEpochArgs {
    #[command(flatten)]
    sources: Sources,
    /// Begin an epoch above this one; default: above the newest in the fallback storages.
    #[arg(long, value_name = "EPOCH")]
    above: Option<u64>,
    /// Also take the place of the cluster whose snapshots are in the storages: for a new database that
    /// was filled from the backup of a lost one.
    #[arg(long)]
    adopt: bool,
    #[command(flatten)]
    confirm: Confirm,
}

/// Begins the next epoch of the database, above everything that was published.
pub(crate) fn run(arguments: &NextEpochArgs) -> Result<()> {
    let settings = super::settings(&arguments.sources, "next_epoch")?;
    wait_for(async {
        let store = open(&settings).await?;
        let before = store.position().await?;
        let past = match settings.fallback.cluster_fallback_config_storage.is_empty() {
            true => None,
            false => Some(published(settings, arguments, before.cluster_id).await?),
        };
        let newest = past.as_ref().and_then(|past| past.newest.as_ref());
        let above = above(arguments, past.as_ref())?;
        let adopted = adopted(arguments, newest, before)?;
        show(store.as_ref(), past.as_ref(), before).await?;
        arguments.confirm.ask(&format!(
            "Begin epoch {} with what the database holds?",
            before.epoch.max(above) + 1
        ))?;
        let after = store.begin_epoch(above, adopted).await?;
        anstream::println!(
            "epoch {} begun (it was {}); a running control plane notices within a second, serves its data planes and publishes",
            after.epoch,
            before.epoch
        );
        Ok(())
    })?
}

/// What the storages hold of this cluster, or of whichever there is when it is to be adopted.
async fn published(settings: Settings, arguments: &NextEpochArgs, own: Uuid) -> Result<Past> {
    let access = Access::open(settings)?;
    let past = match arguments.adopt {
        true => Past::read(&access, None).await,
        // The database's own cluster is meant where several lie there.
        false => match Past::read(&access, Some(own)).await? {
            past if past.newest.is_some() => Ok(past),
            _ => Past::read(&access, None).await,
        },
    }?;
    for doubt in past.doubts() {
        print::warning(&doubt);
    }
    Ok(past)
}

/// The epoch to be above of.
fn above(arguments: &NextEpochArgs, past: Option<&Past>) -> Result<u64> {
    let found = past.and_then(|past| past.newest.as_ref());
    match (arguments.above, found, past) {
        (Some(above), found, _) => {
            let found = found.map_or(0, |newest| newest.identity().epoch);
            if found > above {
                bail!("the storages hold epoch {found}, newer than {above}: leave out --above");
            }
            Ok(above)
        }
        (None, Some(newest), _) => Ok(newest.identity().epoch),
        (None, None, Some(past)) if !past.unread.is_empty() => bail!(
            "the storages could not be read, so it is not known what was published: give --above with the epoch that data planes serve (`keelgate status` on one of them)"
        ),
        (None, None, _) => Ok(0),
    }
}

/// The cluster whose place is taken, where that was asked for.
fn adopted(
    arguments: &NextEpochArgs,
    newest: Option<&Snapshot>,
    own: Position,
) -> Result<Option<Uuid>> {
    let found = newest.map(|newest| newest.identity().cluster_id);
    match (arguments.adopt, found) {
        (true, None) => bail!("there is no snapshot whose cluster could be adopted"),
        (true, found) => Ok(found),
        (false, Some(found)) if found != own.cluster_id => bail!(
            "the storages hold snapshots of cluster {found}, the database is cluster {}: if it is new and takes the place of a lost one, fill it first (`keelgate fallback pull`, `keelgate config db_import`) and give --adopt",
            own.cluster_id
        ),
        (false, _) => Ok(None),
    }
}

/// Shows what changes for data planes once the database is the newest.
async fn show(store: &dyn Store, past: Option<&Past>, own: Position) -> Result<()> {
    anstream::println!("database   epoch {}, revision {}", own.epoch, own.revision);
    let newest = past.and_then(|past| past.newest.as_ref());
    let Some(newest) = newest else {
        let why = match past {
            None => "not known: cluster_fallback_config_storage is not set",
            Some(past) if past.unread.is_empty() => "nothing",
            Some(_) => "not known: no storage could be read",
        };
        anstream::println!("published  {why}");
        return Ok(());
    };
    anstream::println!("published  {}", newest.identity());
    if let Some(publication) = newest.publication() {
        anstream::println!("           by {}: {}", publication.by, publication.reason);
    }
    let (_, table) = store.export().await?;
    let difference = Difference::between_configurations(
        newest.config_json(),
        &Value::Object(table.into_config_table()).to_string(),
        store.schemas(),
    )?;
    anstream::println!("what was published -> what the database holds:");
    diff::print(&difference);
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: NextEpochArgs,
    }

    fn parse(line: &[&str]) -> NextEpochArgs {
        Line::try_parse_from([&["x"], line].concat())
            .unwrap()
            .arguments
    }

    #[test]
    fn storages_that_cannot_be_read_leave_the_epoch_to_the_operator() {
        let mut unread = Past::default();
        unread.unread.push("away".to_owned());
        assert!(above(&parse(&[]), Some(&unread)).is_err());
        assert_eq!(above(&parse(&["--above", "7"]), Some(&unread)).unwrap(), 7);
        assert_eq!(above(&parse(&[]), None).unwrap(), 0);
    }
}
