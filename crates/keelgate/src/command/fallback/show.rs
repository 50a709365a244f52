//! `keelgate fallback show`: one snapshot, and what is known of it.

use anyhow::{Result, bail};
use clap::Args;
use keelgate_entities::declarative;
use keelgate_fallback::Entry;
use keelgate_snapshot::{Identity, Publication, Signature, Snapshot};
use serde_json::{Map, Value, json};

use super::access::{Access, Options, wait_for};
use super::configuration;
use super::entities::Entities;
use super::locate::{self, Located, Name};
use super::ls::entry_document;
use super::output::{self, BAD, GOOD, Output, line};

/// Options of `keelgate fallback show`.
#[derive(Args, Debug)]
pub(crate) struct ShowArgs {
    /// EPOCH-REVISION or EPOCH-REVISION-HASH; default: what a data plane of this build would choose.
    #[arg(default_value = "config")]
    id: Name,
    #[command(flatten)]
    options: Options,
    /// Print the configuration too, as declarative YAML. It holds secrets.
    #[arg(long)]
    config: bool,
}

/// Shows one snapshot. Fails when it is refused.
pub(crate) fn run(arguments: &ShowArgs) -> Result<()> {
    let access = arguments.options.open()?;
    let located = wait_for(find(&access, &arguments.id))?;
    let config = match (&located.snapshot, arguments.config) {
        (Some(snapshot), true) => {
            let table = configuration::table(snapshot.config_json(), &access.schemas)?;
            Some(declarative::dump(&table))
        }
        _ => None,
    };
    match arguments.options.output {
        Output::Json => {
            let mut document = document(&access, &located)?;
            if let Some(config) = config {
                document.insert("config".to_owned(), config);
            }
            output::json(&document)?;
        }
        Output::Text => {
            print(&access, &located)?;
            if let Some(config) = config {
                anstream::println!("\n{}", declarative::to_yaml(&config));
            }
        }
    }
    if located.snapshot.is_none() {
        bail!("{} is refused by data planes", located.entry.key);
    }
    Ok(())
}

async fn find(access: &Access, name: &Name) -> Result<Located> {
    match name {
        Name::History { position, hash } => locate::locate(access, *position, hash).await,
        Name::Config => {
            let chosen = locate::chosen(access).await?;
            let storage = access
                .storages
                .iter()
                .find(|storage| storage.location() == chosen.storage);
            let mut entry = Entry::of(chosen.key);
            if let Some(storage) = storage {
                entry.examine(storage.as_ref(), &access.verify).await;
            }
            Ok(Located {
                storage: chosen.storage,
                entry,
                snapshot: Some(chosen.snapshot),
            })
        }
        name => {
            let snapshot = locate::snapshot(access, name).await?;
            Ok(Located {
                storage: "this node".to_owned(),
                entry: Entry::of("what it serves"),
                snapshot: Some(snapshot),
            })
        }
    }
}

fn print(access: &Access, located: &Located) -> Result<()> {
    let found = located.entry.found.as_ref();
    line("storage", &located.storage);
    line("object", &located.entry.key);
    if let Some(bytes) = located.entry.bytes {
        let sealed = found.is_some_and(|found| found.sealed);
        let sealed = if sealed { ", sealed" } else { "" };
        line("size", format!("{}{sealed}", output::size(bytes)));
    }
    let refusal = found.and_then(|found| found.verified.as_ref().err());
    if let Some(refusal) = refusal {
        line(
            "verdict",
            format!("{BAD}{}{BAD:#}: {refusal}", refusal.kind()),
        );
    }
    let Some(snapshot) = &located.snapshot else {
        if let Some(identity) = found.and_then(|found| found.identity) {
            line("claims", identity);
        }
        return Ok(());
    };
    let identity = snapshot.identity();
    line("identity", identity);
    line("cluster", identity.cluster_id);
    line("sha256", identity.sha256);
    line(
        "made",
        format!(
            "{} ({} ago)",
            output::time(snapshot.created_at()),
            output::span(output::age(snapshot.created_at()))
        ),
    );
    line("version", version(snapshot));
    line("signature", verdict(access, snapshot));
    if let Some(signature) = Signature::of(snapshot.document()) {
        let until = signature.not_after.map(output::time).unwrap_or_default();
        line(
            "signer",
            format!(
                "{} ({}, until {until})",
                signature.subject, signature.algorithm
            ),
        );
        line("", format!("x5t#S256 {}", signature.certificate_sha256));
    }
    if let Some(publication) = snapshot.publication() {
        print_publication(publication);
    }
    let entities = Entities::read(snapshot.config_json(), &access.schemas)?;
    let mut total = 0;
    let counts: Vec<String> = entities
        .iter()
        .map(|(kind, all)| {
            total += all.len();
            format!("{} {kind}", all.len())
        })
        .collect();
    line("entities", format!("{total}: {}", counts.join(", ")));
    Ok(())
}

fn version(snapshot: &Snapshot) -> String {
    match snapshot.version() {
        "" => "a control plane of Kong".to_owned(),
        version => format!("keelgate {version}"),
    }
}

fn verdict(access: &Access, snapshot: &Snapshot) -> String {
    match (&access.cluster, snapshot.is_signed()) {
        (Some(_), true) => format!("{GOOD}good{GOOD:#}"),
        (None, _) => format!("{BAD}not checked{BAD:#}: cluster_cert is not set"),
        (Some(_), false) => "none: it came from a control plane of Kong over mutual TLS".to_owned(),
    }
}

fn print_publication(publication: &Publication) {
    let what = match &publication.restores {
        Some(restored) => format!("rollback to {restored}"),
        None => "emergency publish".to_owned(),
    };
    output::line("published", format!("{what}, by {}", publication.by));
    output::line("reason", &publication.reason);
    let base = publication.base.as_ref().map(Identity::to_string);
    output::line("in place of", base.unwrap_or_else(|| "nothing".to_owned()));
}

fn document(access: &Access, located: &Located) -> Result<Map<String, Value>> {
    let mut document = Map::new();
    let mut set = |name: &str, value: Value| document.insert(name.to_owned(), value);
    set("storage", located.storage.as_str().into());
    set("object", entry_document(&located.entry));
    if let Some(snapshot) = &located.snapshot {
        let entities = Entities::read(snapshot.config_json(), &access.schemas)?;
        let counts: Map<String, Value> = entities
            .iter()
            .map(|(kind, all)| (kind.to_owned(), all.len().into()))
            .collect();
        set("identity", serde_json::to_value(snapshot.identity())?);
        set("created_at", output::seconds(snapshot.created_at()).into());
        set("version", snapshot.version().into());
        set("signed", snapshot.is_signed().into());
        set("signature_checked", access.cluster.is_some().into());
        set("signature", json!(Signature::of(snapshot.document())));
        set("publication", json!(snapshot.publication()));
        set("entities", counts.into());
    }
    Ok(document)
}
