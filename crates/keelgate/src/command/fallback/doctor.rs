//! `keelgate fallback doctor`: whether a storage allows what nodes need, and what to grant.

mod credentials;
mod examination;
mod policy;

use std::path::Path;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use keelgate_fallback::{Fencing, Layout};
use serde::Serialize;

use super::access::{Access, Options, wait_for};
use super::output::{self, BAD, FAINT, GOOD, NAME, Output};
use examination::{Examination, Finding, Permission, examine};
use policy::Policies;

/// Options of `keelgate fallback doctor`.
#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    options: Options,
    /// Whose needs decide the exit code; default: a writer's when this node exports, else a
    /// reader's.
    #[arg(long = "for", value_enum)]
    role: Option<Role>,
}

/// What a node does with a storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
enum Role {
    /// Imports.
    Reader,
    /// Exports.
    Writer,
}

/// What was found of one storage.
#[derive(Serialize)]
struct Report {
    storage: String,
    credentials: Vec<String>,
    #[serde(flatten)]
    examination: Examination,
    fit_for_readers: bool,
    fit_for_writers: bool,
    policies: Policies,
}

/// Examines every storage. Fails when one does not allow what is needed.
pub(crate) fn run(arguments: &DoctorArgs) -> Result<()> {
    let access = arguments.options.open()?;
    let exports = access.settings.fallback.cluster_fallback_config_export;
    let role = arguments.role.unwrap_or(match exports {
        true => Role::Writer,
        false => Role::Reader,
    });
    let reports = wait_for(async { Ok(reports(&access).await) })?;
    match arguments.options.output {
        Output::Json => output::json(&reports)?,
        Output::Text => reports.iter().for_each(print),
    }
    let unfit: Vec<&str> = reports
        .iter()
        .filter(|report| match role {
            Role::Reader => !report.fit_for_readers,
            Role::Writer => !report.fit_for_writers,
        })
        .map(|report| report.storage.as_str())
        .collect();
    if !unfit.is_empty() {
        let who = match role {
            Role::Reader => "readers",
            Role::Writer => "writers",
        };
        bail!("not fit for {who}: {}", unfit.join(", "));
    }
    Ok(())
}

async fn reports(access: &Access) -> Vec<Report> {
    let layout = Layout::new(env!("CARGO_PKG_VERSION"));
    let mut reports = Vec::new();
    for storage in &access.storages {
        let location = storage.location();
        let bar = output::progress(format!("examining {location}"));
        let examination = examine(storage.as_ref(), &layout).await;
        bar.finish_and_clear();
        reports.push(Report {
            storage: location.to_owned(),
            credentials: credentials::found(
                location,
                |name| std::env::var(name).ok(),
                Path::exists,
            ),
            fit_for_readers: examination.serves_readers(),
            fit_for_writers: storage.writable() && examination.serves_writers(),
            examination,
            policies: Policies::of(location),
        });
    }
    reports
}

fn print(report: &Report) {
    anstream::println!("{NAME}{}{NAME:#}", report.storage);
    let line = |name: &str, text: &str| output::line(&format!("  {name}"), text);
    for (at, kind) in report.credentials.iter().enumerate() {
        line(if at == 0 { "credentials" } else { "" }, kind);
    }
    for (permission, finding) in &report.examination.permissions {
        let text = match finding {
            Finding::Allowed => format!("{GOOD}allowed{GOOD:#}"),
            Finding::Failed(reason) => format!("{BAD}failed{BAD:#}: {reason}"),
            Finding::NotTried => format!("{FAINT}not tried{FAINT:#}"),
        };
        line(permission.as_str(), &text);
    }
    let fencing = match (
        &report.examination.fencing,
        &report.examination.fencing_error,
    ) {
        (Some(Fencing::Compare), _) => {
            format!("{GOOD}compare{GOOD:#}: conditional writes hold, also when two come at once")
        }
        (Some(Fencing::None), _) => format!(
            "{BAD}none{BAD:#}: this storage does not compare; readers choose the newest by identity"
        ),
        (None, Some(error)) => format!("{BAD}not known{BAD:#}: {error}"),
        (None, None) => format!("{FAINT}not tried{FAINT:#}"),
    };
    line("fencing", &fencing);
    line("clock", &clock(report.examination.clock_ahead));
    let latency = report.examination.latency_ms;
    line(
        "latency",
        &latency.map_or("not known".to_owned(), |ms| {
            format!("{ms} ms for a read (median)")
        }),
    );
    line("verdict", &verdict(report));
    anstream::println!("\n  {FAINT}a reader needs no more than{FAINT:#}");
    anstream::println!("{}", indented(&report.policies.reader));
    anstream::println!("  {FAINT}a writer needs no more than{FAINT:#}");
    anstream::println!("{}\n", indented(&report.policies.writer));
}

fn clock(ahead: Option<i64>) -> String {
    match ahead {
        None => format!("{FAINT}not known: nothing could be written and listed{FAINT:#}"),
        Some(0) => "as here".to_owned(),
        Some(seconds) if seconds > 0 => format!("{seconds} s ahead of this machine's"),
        Some(seconds) => format!("{} s behind this machine's", seconds.unsigned_abs()),
    }
}

fn verdict(report: &Report) -> String {
    let prunes = report.examination.allows(Permission::Delete);
    match (report.fit_for_readers, report.fit_for_writers) {
        (true, true) if prunes => format!("{GOOD}fit for readers and writers{GOOD:#}"),
        (true, true) => format!(
            "{GOOD}fit for readers and writers{GOOD:#}; without leave to delete the history grows"
        ),
        (true, false) => format!("{GOOD}fit for readers{GOOD:#}, not for writers"),
        (false, _) => format!("{BAD}not fit{BAD:#}"),
    }
}

fn indented(text: &str) -> String {
    text.lines()
        .map(|line| format!("    {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}
