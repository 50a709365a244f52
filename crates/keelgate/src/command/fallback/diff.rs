//! `keelgate fallback diff`: what differs between two configurations, entity by entity.

use anyhow::Result;
use clap::Args;
use serde_json::Value;

use super::access::{Access, Options, wait_for};
use super::configuration;
use super::difference::{Changed, Difference, Secrets};
use super::entities::Entities;
use super::locate::{self, Name};
use super::output::{self, BAD, FAINT, GOOD, NAME, Output};

/// Longest value that is shown whole, in characters.
const LONGEST: usize = 72;

/// Options of `keelgate fallback diff`.
#[derive(Args, Debug)]
pub(crate) struct DiffArgs {
    /// From: EPOCH-REVISION[-HASH], config (what would be chosen), served (what the node of the
    /// prefix keeps), or a declarative file.
    a: Name,
    /// To: the same.
    b: Name,
    #[command(flatten)]
    options: Options,
    /// Show secrets that differ.
    #[arg(long)]
    show_secrets: bool,
}

/// Shows what leads from one to the other.
pub(crate) fn run(arguments: &DiffArgs) -> Result<()> {
    let access = arguments.options.open()?;
    let secrets = match arguments.show_secrets {
        true => Secrets::Shown,
        false => Secrets::Hidden,
    };
    let difference = wait_for(async {
        let a = entities(&access, &arguments.a).await?;
        let b = entities(&access, &arguments.b).await?;
        Ok(Difference::between(&a, &b, secrets))
    })?;
    match arguments.options.output {
        Output::Json => output::json(&difference),
        Output::Text => {
            print(&difference);
            Ok(())
        }
    }
}

async fn entities(access: &Access, name: &Name) -> Result<Entities> {
    let config = match name {
        Name::File(path) => configuration::text(configuration::read(path, &access.schemas)?),
        name => locate::snapshot(access, name)
            .await?
            .config_json()
            .to_owned(),
    };
    Ok(Entities::read(&config, &access.schemas)?)
}

/// Prints a difference, and how much it is.
pub(crate) fn print(difference: &Difference) {
    for (kind, changes) in &difference.0 {
        anstream::println!("{NAME}{kind}{NAME:#}");
        for entity in &changes.added {
            anstream::println!("  {GOOD}+ {}{GOOD:#}", entity.name);
        }
        for entity in &changes.removed {
            anstream::println!("  {BAD}- {}{BAD:#}", entity.name);
        }
        changes.changed.iter().for_each(print_changed);
    }
    let (added, removed, changed) = difference.counts();
    if difference.is_empty() {
        anstream::println!("no entity differs");
    } else {
        anstream::println!("{added} added, {removed} removed, {changed} changed");
    }
}

fn print_changed(changed: &Changed) {
    anstream::println!("  ~ {}", changed.entity.name);
    for field in &changed.fields {
        anstream::println!(
            "      {}: {} {FAINT}->{FAINT:#} {}",
            field.path,
            shown(&field.before),
            shown(&field.after)
        );
    }
}

fn shown(value: &Value) -> String {
    let text = match value {
        Value::Null => "(none)".to_owned(),
        Value::String(text) => text.replace(char::is_control, " "),
        value => value.to_string(),
    };
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_one_short_line() {
        assert_eq!(shown(&Value::Null), "(none)");
        assert_eq!(shown(&"a\nb\u{1b}[31m".into()), "a b [31m");
        let long = shown(&"é".repeat(LONGEST + 5).into());
        assert_eq!(long.chars().count(), LONGEST + 1);
    }
}
