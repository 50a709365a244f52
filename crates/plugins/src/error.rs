//! Why a plugin's configuration cannot run.

use uuid::Uuid;

/// Why a plugin's configuration cannot run on this node.
#[derive(Debug, thiserror::Error)]
#[error("plugin '{name}' ({id}): {reason}")]
pub struct PluginError {
    /// Which plugin.
    pub name: String,
    /// Which configuration of it.
    pub id: Uuid,
    /// What is wrong, where, and how to mend it.
    pub reason: Reason,
}

/// What is wrong with a plugin's configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// This build has no such plugin.
    #[error("no such plugin in this build; remove it, or disable it with 'enabled: false'")]
    Unknown,
    /// The settings do not have the form that the plugin's schema describes.
    #[error("config does not fit the schema: {0}")]
    Decode(#[from] serde_json::Error),
    /// One setting has a value that cannot be used.
    #[error("config.{field}: {problem}")]
    Setting {
        /// Dotted path below `config`.
        field: String,
        /// What is wrong with it, and how to mend it.
        problem: String,
    },
}

impl Reason {
    /// A setting, by its dotted path below `config`, with what is wrong and how to mend it.
    pub fn setting(field: impl Into<String>, problem: impl ToString) -> Self {
        Self::Setting {
            field: field.into(),
            problem: problem.to_string(),
        }
    }
}
