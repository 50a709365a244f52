//! `keelgate fallback rollback`: an older configuration, as something new.

use anyhow::{Context as _, Result, bail};
use clap::Args;

use super::access::{Options, wait_for};
use super::locate::{self, Name};
use super::past::Past;
use super::publication::{self, Draft, Record};

/// Options of `keelgate fallback rollback`.
#[derive(Args, Debug)]
pub(crate) struct RollbackArgs {
    /// EPOCH-REVISION or EPOCH-REVISION-HASH of the snapshot to bring back.
    id: Name,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    record: Record,
}

/// Publishes the configuration of an older snapshot as the next epoch: nothing ever goes back.
pub(crate) fn run(arguments: &RollbackArgs) -> Result<()> {
    let access = arguments.options.open()?;
    access.cluster()?;
    let Name::History { .. } = &arguments.id else {
        bail!(
            "name the snapshot to bring back as EPOCH-REVISION or EPOCH-REVISION-HASH: `keelgate fallback ls` shows them; a file is published with `keelgate fallback publish`"
        );
    };
    wait_for(async {
        let old = locate::snapshot(&access, &arguments.id).await?;
        let identity = *old.identity();
        let past = Past::read(&access, Some(identity.cluster_id)).await?;
        let newest = past
            .newest
            .as_ref()
            .context("the storages changed meanwhile: try again")?;
        if newest.identity().sha256 == identity.sha256 {
            bail!(
                "{} has the configuration of {identity} already",
                newest.identity()
            );
        }
        let draft = Draft {
            cluster_id: identity.cluster_id,
            config: old.config_json().to_owned(),
            restores: Some(identity),
        };
        let format = arguments.options.output;
        publication::publish(&access, &past, draft, &arguments.record, format).await
    })
}
