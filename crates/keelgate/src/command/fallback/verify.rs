//! `keelgate fallback verify`: every check that a data plane makes, and an exit code.

use std::sync::Arc;

use anyhow::{Result, bail};
use clap::Args;
use keelgate_fallback::{Entry, Storage};
use keelgate_snapshot::Snapshot;
use serde::Serialize;

use super::access::{Access, Options, wait_for};
use super::compile::Compiler;
use super::locate::{self, Name};
use super::output::{self, BAD, FAINT, GOOD, Output};

/// The checks, in the order in which a data plane makes them.
const CHECKS: [&str; 8] = [
    "read",
    "size",
    "seal",
    "format and schema",
    "signature",
    "signed content",
    "age",
    "compiles here",
];

/// Options of `keelgate fallback verify`.
#[derive(Args, Debug)]
pub(crate) struct VerifyArgs {
    /// EPOCH-REVISION, EPOCH-REVISION-HASH or config; default: every document of this build's version
    /// in every storage.
    id: Option<Name>,
    #[command(flatten)]
    options: Options,
}

/// What the checks of one document said.
#[derive(Serialize)]
struct Report {
    storage: String,
    key: String,
    identity: Option<String>,
    checks: Vec<Check>,
    /// What of it would not be served, while everything else would.
    flaws: Vec<String>,
}

#[derive(Serialize)]
struct Check {
    name: &'static str,
    verdict: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Passed,
    Failed,
    /// A check before it failed.
    NotReached,
}

impl Report {
    fn is_good(&self) -> bool {
        self.checks
            .iter()
            .all(|check| check.verdict == Verdict::Passed)
    }
}

/// Makes every check. Fails when one fails, or when there is nothing to check.
pub(crate) fn run(arguments: &VerifyArgs) -> Result<()> {
    let access = arguments.options.open()?;
    access.cluster()?;
    let compiler = Compiler::new(&access)?;
    let reports = wait_for(async {
        match &arguments.id {
            Some(name) => named(&access, &compiler, name).await,
            None => everything(&access, &compiler).await,
        }
    })?;
    match arguments.options.output {
        Output::Json => output::json(&reports)?,
        Output::Text => reports.iter().for_each(print),
    }
    if reports.is_empty() {
        bail!(
            "no storage holds a snapshot of version {}",
            env!("CARGO_PKG_VERSION")
        );
    }
    let bad = reports.iter().filter(|report| !report.is_good()).count();
    if bad > 0 {
        bail!("{bad} of {} documents would not be served", reports.len());
    }
    Ok(())
}

async fn named(access: &Access, compiler: &Compiler, name: &Name) -> Result<Vec<Report>> {
    let (storage, entry, snapshot) = match name {
        Name::History { position, hash } => {
            let located = locate::locate(access, *position, hash).await?;
            (located.storage, located.entry, located.snapshot)
        }
        Name::Config => {
            let chosen = locate::chosen(access).await?;
            (chosen.storage, Entry::of(chosen.key), Some(chosen.snapshot))
        }
        name => {
            let snapshot = locate::snapshot(access, name).await?;
            let entry = Entry::of("what it serves");
            ("this node".to_owned(), entry, Some(snapshot))
        }
    };
    Ok(vec![judge(compiler, &storage, &entry, snapshot.as_ref())])
}

async fn everything(access: &Access, compiler: &Compiler) -> Result<Vec<Report>> {
    let mut reports = Vec::new();
    for (storage, listed) in locate::catalogues(access).await {
        let own = listed?
            .versions
            .into_iter()
            .find(|version| version.version == env!("CARGO_PKG_VERSION"));
        let Some(own) = own else { continue };
        let bar = output::progress(format!("verifying {}", storage.location()));
        for entry in own.config.into_iter().chain(own.history) {
            bar.set_message(format!("verifying {} of {}", entry.key, storage.location()));
            reports.push(examined(&storage, access, compiler, entry).await);
        }
        bar.finish_and_clear();
    }
    Ok(reports)
}

async fn examined(
    storage: &Arc<dyn Storage>,
    access: &Access,
    compiler: &Compiler,
    mut entry: Entry,
) -> Report {
    let snapshot = entry.examine(storage.as_ref(), &access.verify).await;
    judge(compiler, storage.location(), &entry, snapshot.as_ref())
}

fn judge(compiler: &Compiler, storage: &str, entry: &Entry, snapshot: Option<&Snapshot>) -> Report {
    let found = entry.found.as_ref();
    let mut flaws = Vec::new();
    let failure = match snapshot {
        Some(snapshot) => match compiler.compile(snapshot) {
            Ok(found) => {
                flaws = found;
                None
            }
            Err(error) => Some(("compiles here", format!("{error:#}"))),
        },
        None => {
            let refusal = found.and_then(|found| found.verified.as_ref().err());
            let kind = refusal.map_or("unreadable", |refusal| refusal.kind());
            let reason = refusal.map(ToString::to_string).unwrap_or_default();
            Some((check_of(kind), reason))
        }
    };
    let identity = match snapshot {
        Some(snapshot) => Some(*snapshot.identity()),
        None => found.and_then(|found| found.identity),
    };
    Report {
        storage: storage.to_owned(),
        key: entry.key.clone(),
        identity: identity.map(|identity| identity.to_string()),
        checks: checks(failure),
        flaws,
    }
}

/// Which check refuses with this kind.
fn check_of(kind: &str) -> &'static str {
    match kind {
        "too_large" => "size",
        "sealed" | "bad_seal" => "seal",
        "truncated" | "malformed" | "schema" => "format and schema",
        "unsigned" | "bad_signature" => "signature",
        "tampered" => "signed content",
        "stale" => "age",
        _ => "read",
    }
}

fn checks(failure: Option<(&'static str, String)>) -> Vec<Check> {
    let failed = failure
        .as_ref()
        .and_then(|(name, _)| CHECKS.iter().position(|check| check == name));
    let mut reason = failure.map(|(_, reason)| reason);
    CHECKS
        .iter()
        .enumerate()
        .map(|(at, name)| {
            let verdict = match failed {
                Some(failed) if at == failed => Verdict::Failed,
                Some(failed) if at > failed => Verdict::NotReached,
                _ => Verdict::Passed,
            };
            let reason = match verdict {
                Verdict::Failed => reason.take(),
                _ => None,
            };
            Check {
                name,
                verdict,
                reason,
            }
        })
        .collect()
}

fn print(report: &Report) {
    let identity = report.identity.as_deref().unwrap_or("-");
    let verdict = match report.is_good() {
        true => format!("{GOOD}good{GOOD:#}"),
        false => format!("{BAD}bad{BAD:#}"),
    };
    anstream::println!("{verdict}  {identity}  {}/{}", report.storage, report.key);
    if !report.is_good() {
        for check in &report.checks {
            let text = match check.verdict {
                Verdict::Passed => "passed".to_owned(),
                Verdict::Failed => format!(
                    "{BAD}failed{BAD:#}: {}",
                    check.reason.as_deref().unwrap_or_default()
                ),
                Verdict::NotReached => format!("{FAINT}not reached{FAINT:#}"),
            };
            anstream::println!("      {:<18} {text}", check.name);
        }
    }
    for flaw in &report.flaws {
        anstream::println!("      not served: {flaw}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_behind_a_failed_check_is_not_reached() {
        let checks = checks(Some(("signature", "why".to_owned())));
        let verdicts: Vec<_> = checks.iter().map(|check| check.verdict).collect();
        assert_eq!(verdicts[..4], [Verdict::Passed; 4]);
        assert_eq!(verdicts[4], Verdict::Failed);
        assert_eq!(verdicts[5..], [Verdict::NotReached; 3]);
        assert_eq!(checks[4].reason.as_deref(), Some("why"));
    }

    #[test]
    fn every_kind_of_refusal_belongs_to_a_check() {
        for kind in [
            "too_large",
            "bad_seal",
            "truncated",
            "unsigned",
            "tampered",
            "stale",
            "timed_out",
        ] {
            assert!(CHECKS.contains(&check_of(kind)), "{kind}");
        }
    }
}
