//! `keelgate fallback ls`: what lies in the storages, who writes, and what would be chosen.

use std::time::SystemTime;

use anyhow::Result;
use clap::Args;
use keelgate_fallback::{Catalogue, Entry, Fencing, Refusal, VersionEntry};
use keelgate_snapshot::Identity;
use serde_json::{Value, json};

use super::access::{Options, wait_for};
use super::locate::{self, Choice};
use super::output::{self, BAD, FAINT, GOOD, NAME, Output};

/// Options of `keelgate fallback ls`.
#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    options: Options,
}

/// One storage, listed, with every `config.json` examined.
struct Listed {
    storage: String,
    catalogue: Result<Catalogue>,
}

/// Lists every storage. Fails when none could be listed, or when nothing could be chosen.
pub(crate) fn run(arguments: &ListArgs) -> Result<()> {
    let access = arguments.options.open()?;
    let (listed, choice) = wait_for(async {
        let mut all = Vec::new();
        for (storage, listed) in locate::catalogues(&access).await {
            let mut listed = Listed {
                storage: storage.location().to_owned(),
                catalogue: listed,
            };
            for version in listed.catalogue.iter_mut().flat_map(|c| &mut c.versions) {
                if let Some(config) = &mut version.config {
                    config.examine(storage.as_ref(), &access.verify).await;
                }
            }
            all.push(listed);
        }
        Ok((all, locate::choose(&access).await))
    })?;
    match arguments.options.output {
        Output::Json => output::json(&document(&listed, &choice))?,
        Output::Text => {
            listed.iter().for_each(print);
            print_choice(&choice);
        }
    }
    if access.cluster.is_none() {
        crate::command::print::warning(
            "cluster_cert is not set: signatures were not checked, and data planes may refuse what is shown as good",
        );
    }
    if choice.chosen.is_none() {
        anyhow::bail!("a data plane of this build finds nothing to serve in the storage");
    }
    Ok(())
}

fn print(listed: &Listed) {
    anstream::println!("{NAME}{}{NAME:#}", listed.storage);
    match &listed.catalogue {
        Err(error) => anstream::println!("  {BAD}{error:#}{BAD:#}\n"),
        Ok(catalogue) if catalogue.versions.is_empty() => {
            anstream::println!("  {FAINT}nothing was ever written here{FAINT:#}\n");
        }
        Ok(catalogue) => catalogue.versions.iter().for_each(print_version),
    }
}

fn print_version(version: &VersionEntry) {
    let config = version.config.iter();
    let rows = config
        .chain(&version.history)
        .map(|entry| row(entry, &version.version));
    let head = ["  OBJECT", "IDENTITY", "MADE", "WRITTEN", "SIZE", "STATE"];
    anstream::println!("{}", output::table(&head, rows));
    let fencing = match version.fencing {
        Some(Fencing::Compare) => "fencing compare",
        Some(Fencing::None) => "fencing none: readers choose the newest by identity",
        None => "fencing not told",
    };
    anstream::println!("  {FAINT}version {}, {fencing}{FAINT:#}", version.version);
    let holder = version.lease.as_ref().and_then(|lease| lease.holder);
    match (&version.lease, holder) {
        (Some(lease), Some(node)) => anstream::println!(
            "  {FAINT}writer {} (term {}){FAINT:#}",
            host(version, node).unwrap_or_else(|| node.to_string()),
            lease.term
        ),
        (Some(_), None) => anstream::println!("  {FAINT}no writer: the last one has left{FAINT:#}"),
        (None, _) => anstream::println!("  {FAINT}no writer was ever elected{FAINT:#}"),
    }
    for registered in &version.registrations {
        let seen = registered.modified.map_or_else(String::new, |at| {
            format!(", seen {} ago", output::span(output::age(at)))
        });
        let name =
            host(version, registered.node_id).unwrap_or_else(|| registered.node_id.to_string());
        anstream::println!("  {FAINT}registered {name}{seen}{FAINT:#}");
    }
    anstream::println!();
}

/// The host that a node registered with, and the node.
fn host(version: &VersionEntry, node: uuid::Uuid) -> Option<String> {
    let registered = version.registrations.iter().find(|r| r.node_id == node)?;
    let registration = registered.registration.as_ref()?;
    Some(format!("{} ({node})", registration.hostname))
}

fn row(entry: &Entry, version: &str) -> Vec<String> {
    let found = entry.found.as_ref();
    let identity = found.and_then(|found| found.identity);
    let name = entry.name.as_ref().map(|name| {
        let (epoch, revision) = name.position;
        format!("{epoch}-{revision}-{}", name.hash)
    });
    let age = |at: Option<SystemTime>| {
        at.map_or("-".to_owned(), |at| {
            format!("{} ago", output::span(output::age(at)))
        })
    };
    let state = match found {
        None => "not read".to_owned(),
        Some(found) => {
            let sealed = if found.sealed { ", sealed" } else { "" };
            match &found.verified {
                Ok(()) => format!("good{sealed}"),
                Err(refusal) if refusal.kind() == "sealed" => "sealed, no key".to_owned(),
                Err(refusal) => format!("{}{sealed}", refusal.kind()),
            }
        }
    };
    let below = entry.key.strip_prefix(version).unwrap_or(&entry.key);
    let object = match entry.name {
        Some(_) => "history".to_owned(),
        None => below.trim_start_matches('/').to_owned(),
    };
    vec![
        format!("  {object}"),
        identity
            .map(|identity| identity.to_string())
            .or(name)
            .unwrap_or_else(|| "-".to_owned()),
        age(found.and_then(|found| found.created_at)),
        age(entry.modified),
        entry.bytes.map_or("-".to_owned(), output::size),
        state,
    ]
}

fn print_choice(choice: &Choice) {
    match &choice.chosen {
        None => output::line("chosen", format!("{BAD}nothing{BAD:#}")),
        Some(chosen) => {
            output::line(
                "chosen",
                format!(
                    "{GOOD}{}{GOOD:#} of {}, {}",
                    chosen.snapshot.identity(),
                    chosen.storage,
                    chosen.key
                ),
            );
            output::line("because", reason(choice));
        }
    }
    for refusal in choice
        .refusals
        .iter()
        .filter(|refusal| !refusal.is_absence())
    {
        output::line("passed over", refusal);
    }
}

/// Why a data plane of this build would choose what it would.
fn reason(choice: &Choice) -> String {
    let Some(chosen) = &choice.chosen else {
        return String::new();
    };
    let own = format!("{}/", env!("CARGO_PKG_VERSION"));
    let mut reasons = vec![match chosen.key.strip_prefix(&own) {
        Some("config.json") => "config.json of this build's version verifies".to_owned(),
        Some(_) => "it is the newest of this build's version that verifies".to_owned(),
        None => format!(
            "this build's version {} has none that verifies, and this is the newest that it can read",
            env!("CARGO_PKG_VERSION")
        ),
    }];
    if choice.candidates.len() > 1 {
        reasons.push(format!(
            "no other of the {} storages has a newer one",
            choice.candidates.len()
        ));
    }
    reasons.join(", and ")
}

fn document(listed: &[Listed], choice: &Choice) -> Value {
    let storages: Vec<Value> = listed
        .iter()
        .map(|listed| match &listed.catalogue {
            Err(error) => json!({"storage": listed.storage, "error": format!("{error:#}")}),
            Ok(catalogue) => json!({
                "storage": listed.storage,
                "versions": catalogue.versions.iter().map(version_document).collect::<Vec<_>>(),
            }),
        })
        .collect();
    let chosen = choice.chosen.as_ref().map(|chosen| {
        json!({
            "identity": chosen.snapshot.identity(),
            "storage": chosen.storage,
            "key": chosen.key,
            "reason": reason(choice),
        })
    });
    json!({"storages": storages, "chosen": chosen, "refusals": choice.refusals})
}

fn version_document(version: &VersionEntry) -> Value {
    let registrations: Vec<Value> = version
        .registrations
        .iter()
        .map(|registered| {
            json!({
                "node_id": registered.node_id,
                "hostname": registered.registration.as_ref().map(|r| &r.hostname),
                "version": registered.registration.as_ref().map(|r| &r.version),
                "modified": registered.modified.map(output::seconds),
            })
        })
        .collect();
    json!({
        "version": version.version,
        "fencing": version.fencing,
        "lease": version.lease,
        "registrations": registrations,
        "config": version.config.as_ref().map(entry_document),
        "history": version.history.iter().map(entry_document).collect::<Vec<_>>(),
    })
}

/// An entry as machines read it.
pub(super) fn entry_document(entry: &Entry) -> Value {
    let found = entry.found.as_ref();
    let identity: Option<Identity> = found.and_then(|found| found.identity);
    let refusal: Option<&Refusal> = found.and_then(|found| found.verified.as_ref().err());
    json!({
        "key": entry.key,
        "name": entry.name.as_ref().map(|name| name.to_string()),
        "identity": identity,
        "bytes": entry.bytes,
        "modified": entry.modified.map(output::seconds),
        "created_at": found.and_then(|found| found.created_at).map(output::seconds),
        "written_by_version": found.and_then(|found| found.writer.as_deref()),
        "sealed": found.map(|found| found.sealed),
        "verified": found.map(|found| found.verified.is_ok()),
        "refusal": refusal,
    })
}
