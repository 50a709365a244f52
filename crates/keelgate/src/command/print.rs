//! What commands tell people.

use anstyle::{AnsiColor, Style};
use keelgate_settings::{LoadError, Problem, Severity};

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const NOTE: Style = AnsiColor::Cyan.on_default().bold();
const FAINT: Style = Style::new().dimmed();

/// Why a command failed. Settings get a paragraph for each problem.
pub(crate) fn failure(error: &anyhow::Error) {
    if let Some(LoadError::Invalid { problems: found }) = error.downcast_ref() {
        problems(
            found
                .iter()
                .filter(|problem| problem.severity == Severity::Error),
        );
        anstream::eprintln!("{ERROR}error:{ERROR:#} the node cannot use these settings");
    } else {
        anstream::eprintln!("{ERROR}error:{ERROR:#} {error:#}");
    }
}

/// A warning.
pub(crate) fn warning(text: &str) {
    anstream::eprintln!("{WARNING}warning:{WARNING:#} {text}");
}

/// Problems with settings, each with its source and how to mend it.
pub(crate) fn problems<'a>(problems: impl IntoIterator<Item = &'a Problem>) {
    for problem in problems {
        let style = match problem.severity {
            Severity::Error => ERROR,
            Severity::Warning => WARNING,
            Severity::Note => NOTE,
        };
        let word = problem.severity.as_str();
        anstream::eprintln!(
            "{style}{word}:{style:#} {}: {}",
            problem.key,
            problem.message
        );
        match &problem.value {
            Some(value) => {
                anstream::eprintln!(
                    "  {FAINT}in {}:{FAINT:#} {} = {value}",
                    problem.origin,
                    problem.key
                );
            }
            None => anstream::eprintln!("  {FAINT}not set{FAINT:#}"),
        }
        if !problem.mend.is_empty() {
            anstream::eprintln!("  {FAINT}mend:{FAINT:#} {}", problem.mend);
        }
    }
}
