//! What is wrong with a setting, where it came from and how to mend it.

use std::fmt;
use std::path::PathBuf;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A line of the configuration file.
    File {
        /// The file as it was named.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
    },
    /// An environment variable, by its name.
    Variable(String),
    /// An option of the command line, such as `--prefix`.
    Option(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Option(name) => write!(f, "option {name}"),
        }
    }
}

/// How much a problem matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing when the settings are looked at; start says nothing.
    Note,
    /// Told at every start; the node starts.
    Warning,
    /// The node does not start.
    Error,
}

impl Severity {
    /// The word that introduces a problem.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One thing that is wrong, or worth knowing, about one setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// How much it matters.
    pub severity: Severity,
    /// The key that it is about, as it was written.
    pub key: String,
    /// The value as it was given; masked when it is a secret. `None` when unset.
    pub value: Option<String>,
    /// Where the value came from.
    pub origin: Origin,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub mend: String,
}

impl fmt::Display for Problem {
    /// Three short lines: what, where, how to mend.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}: {}",
            self.severity.as_str(),
            self.key,
            self.message
        )?;
        match &self.value {
            Some(value) => write!(f, "\n  in {}: {} = {}", self.origin, self.key, value)?,
            None => write!(f, "\n  not set")?,
        }
        if !self.mend.is_empty() {
            write!(f, "\n  mend: {}", self.mend)?;
        }
        Ok(())
    }
}
