//! What entities refer to by `{vault://…}`.

use std::sync::Arc;

use keelgate_entities::kinds::Vault;
use keelgate_entities::schema::is_reference;
use keelgate_plugins::{Access, Exchange, Flow, Phases, Plugin, Response};

/// Where the secrets of this node come from.
pub trait Secrets: Send + Sync {
    /// What a reference stands for. `vaults` are those of the configuration that it stands in.
    ///
    /// # Errors
    /// Why there is nothing; no part of a secret is in the text.
    fn read(&self, reference: &str, vaults: &[Vault]) -> Result<String, String>;
}

/// What the references of one configuration stand for.
#[derive(Clone, Copy)]
pub(crate) struct References<'c> {
    secrets: Option<&'c dyn Secrets>,
    vaults: &'c [Vault],
}

impl<'c> References<'c> {
    #[cfg(test)]
    pub(crate) const NONE: Self = Self {
        secrets: None,
        vaults: &[],
    };

    pub(crate) fn new(secrets: Option<&'c Arc<dyn Secrets>>, vaults: &'c [Vault]) -> Self {
        let secrets = secrets.map(|secrets| &**secrets);
        Self { secrets, vaults }
    }

    /// Whether this node has secrets at all.
    pub(crate) fn are_read(self) -> bool {
        self.secrets.is_some()
    }

    /// The text itself, or what it stands for where it is a reference. The error names the
    /// reference.
    pub(crate) fn resolved(self, text: &str) -> Result<String, String> {
        if !is_reference(text) {
            return Ok(text.to_owned());
        }
        let read = match self.secrets {
            Some(secrets) => secrets.read(text, self.vaults),
            None => Err("this node reads no secrets".to_owned()),
        };
        read.map_err(|why| format!("unable to resolve reference {text} ({why})"))
    }
}

/// What became of the references of one plugin.
#[derive(Default)]
pub(crate) struct Resolved {
    /// Secrets with the references that they are shown as.
    read: Vec<(String, String)>,
    /// What could not be resolved: field and problem.
    pub(crate) problems: Vec<String>,
}

impl Resolved {
    /// Puts what a reference stands for into its place; nothing, where there is nothing.
    pub(crate) fn put(&mut self, references: References<'_>, field: &str, text: &mut String) {
        let reference = std::mem::take(text);
        match references.resolved(&reference) {
            Ok(secret) => {
                text.clone_from(&secret);
                self.read.push((secret, reference));
            }
            Err(_) if !references.are_read() => *text = reference,
            Err(problem) => self.problems.push(format!("config.{field}: {problem}")),
        }
    }

    /// A text that may hold secrets, with their references in their place.
    pub(crate) fn without_secrets(&self, mut text: String) -> String {
        for (secret, reference) in &self.read {
            if !secret.is_empty() {
                text = text.replace(secret, reference);
            }
        }
        text
    }
}

/// Stands for a plugin that cannot run on this node and must not be left out: every request is
/// refused.
pub(crate) struct Unusable;

impl Plugin for Unusable {
    fn phases(&self) -> Phases {
        Phases {
            access: true,
            ..Phases::default()
        }
    }

    fn access<'a, 'r: 'a>(&'r self, _exchange: &'a mut Exchange<'r>) -> Access<'a> {
        Access::Ready(Flow::Respond(Box::new(Response::unexpected())))
    }
}
