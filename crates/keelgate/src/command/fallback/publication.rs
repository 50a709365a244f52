//! One publication past the control plane: signed, tried, shown, and written into every storage.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use keelgate_fallback::{PublishError, Published, publish_once};
use keelgate_snapshot::{Identity, Publication, Snapshot};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::access::Access;
use super::compile::Compiler;
use super::diff;
use super::difference::Difference;
use super::output::{self, BAD, GOOD, Output};
use super::past::Past;
use crate::command::confirm::Confirm;
use crate::command::print;
use crate::node;

/// How long one storage is tried.
const PATIENCE: Duration = Duration::from_secs(60);

/// Longest reason, in characters: it is part of every copy of the snapshot.
const LONGEST_REASON: usize = 1000;

/// Options of the commands that publish.
#[derive(Args, Debug)]
pub(super) struct Record {
    /// Why. It is signed with the snapshot and shown by `keelgate fallback show`.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
    /// Who; default: USER@HOST.
    #[arg(long, value_name = "NAME", value_parser = reason)]
    by: Option<String>,
    #[command(flatten)]
    confirm: Confirm,
}

/// What is to be published.
pub(super) struct Draft {
    /// The cluster that it is for.
    pub(super) cluster_id: Uuid,
    /// The text of the `config_table`.
    pub(super) config: String,
    /// The snapshot whose configuration it is.
    pub(super) restores: Option<Identity>,
}

fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("say something, for those who look into it later".to_owned());
    }
    if text.chars().count() > LONGEST_REASON {
        return Err(format!("more than {LONGEST_REASON} characters"));
    }
    if text.contains(char::is_control) {
        return Err("control characters are not text".to_owned());
    }
    Ok(text.to_owned())
}

fn who() -> String {
    let user = ["SUDO_USER", "USER", "LOGNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok())
        .unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()));
    format!("{user}@{}", node::hostname())
}

/// Publishes. Fails when a storage did not take it.
pub(super) async fn publish(
    access: &Access,
    past: &Past,
    draft: Draft,
    record: &Record,
    format: Output,
) -> Result<()> {
    let base = past.newest.as_ref();
    let snapshot = sign(access, past, &draft, record)?;
    let compiler = Compiler::new(access)?;
    let flaws = compiler
        .compile(&snapshot)
        .context("this build cannot serve the configuration, so no data plane would")?;
    warn(access, past, &flaws);
    let difference = difference(access, base, &snapshot)?;
    if format == Output::Text {
        announce(&snapshot, base, &difference);
    }
    record.confirm.ask(&format!(
        "Publish {} to {} storage(s)?",
        snapshot.identity(),
        access.storages.len()
    ))?;
    let outcomes = write(access, &compiler, &snapshot).await?;
    match format {
        Output::Json => output::json(&document(&snapshot, &difference, &flaws, &outcomes))?,
        Output::Text => report(access, &snapshot, &outcomes),
    }
    let failed = outcomes.iter().filter(|(_, outcome)| outcome.is_err());
    match failed.count() {
        0 => Ok(()),
        all if all == outcomes.len() => bail!("no storage took the snapshot"),
        some => bail!(
            "{some} of {} storages did not take the snapshot: data planes that read only those do not get it",
            outcomes.len()
        ),
    }
}

/// Signs the draft as what comes next, and makes sure that data planes would believe that.
fn sign(access: &Access, past: &Past, draft: &Draft, record: &Record) -> Result<Snapshot> {
    let cluster = access.cluster()?;
    let now = SystemTime::now();
    let snapshot = keelgate_snapshot::publish(
        &draft.config,
        past.next(draft.cluster_id, now),
        Publication {
            by: record.by.clone().unwrap_or_else(who),
            reason: record.reason.clone(),
            base: past.newest.as_ref().map(|newest| *newest.identity()),
            restores: draft.restores,
        },
        env!("CARGO_PKG_VERSION"),
        now,
        cluster.signer()?.as_ref(),
    )?;
    let document = snapshot.document().clone();
    (access.verify)(document).context(
        "data planes would refuse what this key signs: use the cluster's certificate and key, and in pki mode name this certificate in cluster_fallback_config_signers of the data planes",
    )
}

fn warn(access: &Access, past: &Past, flaws: &[String]) {
    for flaw in flaws {
        print::warning(&format!("would be served without what is wrong: {flaw}"));
    }
    for doubt in past.doubts() {
        print::warning(&doubt);
    }
    let own = env!("CARGO_PKG_VERSION");
    for version in past.versions.iter().filter(|version| *version != own) {
        print::warning(&format!(
            "data planes of version {version} read {version}/config.json first and do not get this: publish with keelgate {version} for them, too"
        ));
    }
    if access.storages.iter().all(|storage| !storage.writable()) {
        print::warning("none of the storages can be written");
    }
}

fn difference(access: &Access, base: Option<&Snapshot>, snapshot: &Snapshot) -> Result<Difference> {
    let before = base.map_or("{}", Snapshot::config_json);
    let after = snapshot.config_json();
    Ok(Difference::between_configurations(
        before,
        after,
        &access.schemas,
    )?)
}

fn announce(snapshot: &Snapshot, base: Option<&Snapshot>, difference: &Difference) {
    let before = base.map_or("nothing".to_owned(), |base| base.identity().to_string());
    output::line(
        "snapshot",
        format!("{} in place of {before}", snapshot.identity()),
    );
    if let Some(publication) = snapshot.publication() {
        output::line("by", &publication.by);
        output::line("reason", &publication.reason);
    }
    diff::print(difference);
}

type Outcome = (String, Result<Published, PublishError>);

/// Writes into all storages at once; the outcomes are in the order of the storages.
async fn write(access: &Access, compiler: &Compiler, snapshot: &Snapshot) -> Result<Vec<Outcome>> {
    let cluster = access.cluster()?;
    // Not a node of the cluster: it takes part in no election and leaves no registering file.
    let settings =
        node::publisher_settings(&access.settings, Uuid::new_v4(), node::hostname(), cluster);
    let prepare = node::prepare(cluster, compiler.activation());
    let bar = output::progress(format!("publishing {}", snapshot.identity()));
    let mut tasks = JoinSet::new();
    for (at, storage) in access.storages.iter().enumerate() {
        let (storage, verify) = (Arc::clone(storage), Arc::clone(&access.verify));
        let (settings, prepare) = (settings.clone(), prepare.clone());
        let snapshot = snapshot.clone();
        tasks.spawn(async move {
            let outcome = publish_once(
                &storage,
                &settings,
                &verify,
                Some(&prepare),
                snapshot,
                PATIENCE,
            )
            .await;
            (at, (storage.location().to_owned(), outcome))
        });
    }
    let mut outcomes = tasks.join_all().await;
    bar.finish_and_clear();
    outcomes.sort_by_key(|(at, _)| *at);
    ensure!(!outcomes.is_empty(), "there is no storage");
    Ok(outcomes.into_iter().map(|(_, outcome)| outcome).collect())
}

fn report(access: &Access, snapshot: &Snapshot, outcomes: &[Outcome]) {
    for (storage, outcome) in outcomes {
        match outcome {
            Ok(published) => anstream::println!(
                "{GOOD}stored{GOOD:#}  {storage}, {}, read back and verified, fencing {}",
                output::size(published.bytes),
                published.fencing
            ),
            Err(error) => anstream::println!("{BAD}failed{BAD:#}  {storage}: {error}"),
        }
    }
    if outcomes.iter().all(|(_, outcome)| outcome.is_err()) {
        return;
    }
    let refresh = access.settings.fallback.cluster_fallback_config_refresh.0;
    anstream::println!(
        "Data planes without a control plane take it within {} (cluster_fallback_config_refresh).",
        output::span(refresh)
    );
    if snapshot.identity().epoch > 0 {
        anstream::println!(
            "A control plane that comes back is behind it: make the same change there, then run `keelgate config next_epoch` on it."
        );
    }
}

fn document(
    snapshot: &Snapshot,
    difference: &Difference,
    flaws: &[String],
    outcomes: &[Outcome],
) -> Value {
    let storages: Vec<Value> = outcomes
        .iter()
        .map(|(storage, outcome)| match outcome {
            Ok(published) => json!({
                "storage": storage,
                "stored": true,
                "bytes": published.bytes,
                "fencing": published.fencing,
            }),
            Err(error) => json!({
                "storage": storage,
                "stored": false,
                "error": error.to_string(),
            }),
        })
        .collect();
    json!({
        "identity": snapshot.identity(),
        "publication": snapshot.publication(),
        "difference": difference,
        "flaws": flaws,
        "storages": storages,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_some_text() {
        assert_eq!(reason(" moved billing "), Ok("moved billing".to_owned()));
        assert!(reason("  ").is_err());
        assert!(reason("a\u{1b}[31mred").is_err());
        assert!(reason(&"x".repeat(LONGEST_REASON + 1)).is_err());
    }
}
