//! From sources to settings.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::checks;
use crate::layers::Layers;
use crate::prefix::default_prefix;
use crate::problem::{Origin, Problem, Severity};
use crate::registry::registry;
use crate::settings::Settings;
use crate::values::{Context, Role};

/// Files that are looked for, in this order, when none is named.
pub const DEFAULT_PATHS: [&str; 4] = [
    "/etc/keelgate/keelgate.conf",
    "/etc/keelgate.conf",
    "/etc/kong/kong.conf",
    "/etc/kong.conf",
];

/// The sources of a node's settings. It can load again and again: on reload the
/// file may have changed.
#[derive(Clone, Default)]
pub struct Loader {
    file: Option<PathBuf>,
    default_files: bool,
    environment: BTreeMap<String, String>,
    options: Vec<(String, String, &'static str)>,
}

impl fmt::Debug for Loader {
    /// Names the sources; what they say may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loader")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

/// Settings, and what is worth knowing about them.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// Warnings and notes.
    pub remarks: Vec<Problem>,
    /// The configuration file that was read.
    pub file: Option<PathBuf>,
}

impl Loaded {
    /// What is to be told at every start.
    pub fn warnings(&self) -> impl Iterator<Item = &Problem> {
        self.remarks
            .iter()
            .filter(|problem| problem.severity == Severity::Warning)
    }
}

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The configuration file that was named cannot be read.
    #[error("the configuration file {} cannot be read: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// At least one of the problems is an error.
    #[error("{}", Listing(problems))]
    Invalid {
        /// All problems: errors first, then warnings and notes.
        problems: Vec<Problem>,
    },
}

struct Listing<'a>(&'a [Problem]);

impl fmt::Display for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errors = self
            .0
            .iter()
            .filter(|problem| problem.severity == Severity::Error);
        write!(f, "the settings have {} errors", errors.clone().count())?;
        errors
            .into_iter()
            .try_for_each(|problem| write!(f, "\n{problem}"))
    }
}

impl Loader {
    /// No sources: everything has its default.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads this configuration file; it must exist.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(path.into());
        self
    }

    /// Without a named file, reads the first of [`DEFAULT_PATHS`] that exists.
    #[must_use]
    pub fn default_files(mut self) -> Self {
        self.default_files = true;
        self
    }

    /// Takes these variables for the environment.
    #[must_use]
    pub fn environment(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.environment.extend(variables);
        self
    }

    /// Sets a key above all sources; `option` names the option of the command
    /// line that did, for messages.
    #[must_use]
    pub fn option(mut self, key: &str, value: impl Into<String>, option: &'static str) -> Self {
        self.options.push((key.to_owned(), value.into(), option));
        self
    }

    fn layers(&self) -> Result<(Layers, Option<PathBuf>), LoadError> {
        let mut layers = Layers::default();
        let found = || {
            self.default_files
                .then(|| {
                    DEFAULT_PATHS
                        .iter()
                        .map(PathBuf::from)
                        .find(|path| path.exists())
                })
                .flatten()
        };
        let file = self.file.clone().or_else(found);
        if let Some(path) = &file {
            let text = std::fs::read_to_string(path).map_err(|source| LoadError::File {
                path: path.clone(),
                source,
            })?;
            layers.add_file(path, &text);
        }
        layers.add_environment(&self.environment);
        for (key, value, option) in &self.options {
            layers.add_option(key, value.clone(), option);
        }
        layers.resolve_references(&self.environment);
        let root = rustix::process::geteuid().is_root();
        if let Some(prefix) = default_prefix(&self.environment, root) {
            layers.set_default("prefix", prefix.display().to_string());
        }
        Ok((layers, file))
    }

    /// Only the prefix: for commands that look for a running node and must not
    /// fail because another setting is wrong.
    ///
    /// # Errors
    /// When the named file cannot be read, or no prefix is known.
    pub fn prefix(&self) -> Result<PathBuf, LoadError> {
        let (layers, _) = self.layers()?;
        match layers
            .get("prefix")
            .map(|entry| std::path::absolute(&entry.text))
        {
            Some(Ok(prefix)) => Ok(prefix),
            _ => Err(LoadError::Invalid {
                problems: vec![no_prefix()],
            }),
        }
    }

    /// Loads and checks the settings.
    ///
    /// # Errors
    /// When the named file cannot be read, or a setting is wrong; then all
    /// problems are told together.
    pub fn load(&self) -> Result<Loaded, LoadError> {
        let (mut layers, file) = self.layers()?;
        let role = layers
            .get("role")
            .and_then(|entry| Role::from_word(&entry.text))
            .unwrap_or(Role::Traditional);
        layers.set_default("database", default_database(&layers, role).to_owned());
        layers.report_without_effect(role);
        let prefix = layers.get("prefix").map(|entry| entry.text.clone());
        let absolute = prefix
            .as_deref()
            .and_then(|prefix| std::path::absolute(prefix).ok());
        let context = Context {
            prefix: absolute.as_deref().unwrap_or(Path::new("/")),
        };
        let (settings, problems) = Settings::read(&layers, context, self);
        let mut problems: Vec<Problem> = std::mem::take(&mut layers.problems)
            .into_iter()
            .chain(problems)
            .collect();
        if absolute.is_none() {
            problems.push(no_prefix());
        }
        if let Some(settings) = &settings {
            checks::check(settings, &mut problems);
        }
        problems.sort_by_key(|problem| std::cmp::Reverse(problem.severity));
        match settings {
            Some(settings) if problems.iter().all(|p| p.severity < Severity::Error) => Ok(Loaded {
                settings,
                remarks: problems,
                file,
            }),
            _ => Err(LoadError::Invalid { problems }),
        }
    }
}

fn default_database(layers: &Layers, role: Role) -> &'static str {
    if role == Role::DataPlane {
        "off"
    } else if layers.changed().any(|(key, _)| key.starts_with("pg_")) {
        "postgres"
    } else {
        "sqlite"
    }
}

fn no_prefix() -> Problem {
    Problem {
        severity: Severity::Error,
        key: "prefix".to_owned(),
        value: None,
        origin: Origin::Default,
        message: "no directory is known to keep the node's files in".to_owned(),
        mend: "set prefix to a directory that this user can write to".to_owned(),
    }
}

/// Every known key that was set to something, for showing.
pub(crate) fn effective(
    layers: &Layers,
) -> impl Iterator<Item = (&'static crate::Key, Option<&crate::layers::Entry>)> {
    registry().map(|key| (key, layers.get(key.name)))
}
