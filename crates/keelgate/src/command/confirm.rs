//! Asking before something is done that cannot be undone.

use std::io::{IsTerminal as _, Write as _};

use anyhow::{Result, bail};
use clap::Args;

/// The option that answers in advance.
#[derive(Args, Debug)]
pub(crate) struct Confirm {
    /// Do not ask.
    #[arg(short = 'y', long)]
    yes: bool,
}

impl Confirm {
    /// Asks on the terminal, and fails unless the answer is yes. Without a terminal it fails unless
    /// `--yes` was given.
    pub(crate) fn ask(&self, question: &str) -> Result<()> {
        if self.yes {
            return Ok(());
        }
        let input = std::io::stdin();
        if !input.is_terminal() {
            bail!("nothing was done: there is no terminal to ask on; give --yes");
        }
        anstream::eprint!("{question} [y/N] ");
        anstream::stderr().flush()?;
        let mut answer = String::new();
        input.read_line(&mut answer)?;
        if is_yes(&answer) {
            return Ok(());
        }
        bail!("nothing was done");
    }
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_yes_is_one() {
        for yes in ["y\n", "Yes", " YES \n"] {
            assert!(is_yes(yes), "{yes}");
        }
        for no in ["", "\n", "n", "yess", "ja"] {
            assert!(!is_yes(no), "{no}");
        }
    }
}
