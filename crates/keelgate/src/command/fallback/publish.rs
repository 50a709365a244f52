//! `keelgate fallback publish`: an emergency publish, while the control plane is away.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use keelgate_snapshot::Snapshot;
use serde_json::Value;
use uuid::Uuid;

use super::access::{Options, wait_for};
use super::configuration;
use super::past::Past;
use super::publication::{self, Draft, Record};
use crate::node;

/// Options of `keelgate fallback publish`.
#[derive(Args, Debug)]
pub(crate) struct PublishArgs {
    /// The whole configuration, declarative: YAML or JSON. `keelgate fallback pull` writes one to
    /// begin with.
    file: PathBuf,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    record: Record,
    /// The cluster that it is for, where the storages hold nothing of it yet.
    #[arg(long, value_name = "UUID")]
    cluster_id: Option<Uuid>,
}

/// Publishes a file as the next epoch.
pub(crate) fn run(arguments: &PublishArgs) -> Result<()> {
    let access = arguments.options.open()?;
    access.cluster()?;
    let table = configuration::read(&arguments.file, &access.schemas)?;
    wait_for(async {
        let past = Past::read(&access, arguments.cluster_id).await?;
        let known = past.newest.as_ref().map(Snapshot::identity);
        let cluster_id = known
            .map(|identity| identity.cluster_id)
            .or(arguments.cluster_id)
            .with_context(|| {
                let mut text = "no storage holds a good snapshot, so the cluster is not known: give --cluster-id (`keelgate status` on a data plane or the control plane's log tells it)".to_owned();
                for reason in &past.unread {
                    text.push_str(&format!("\nnot read: {reason}"));
                }
                text
            })?;
        let draft = Draft {
            cluster_id,
            config: Value::Object(node::config_table(table, cluster_id)).to_string(),
            restores: None,
        };
        let format = arguments.options.output;
        publication::publish(&access, &past, draft, &arguments.record, format).await
    })
}
