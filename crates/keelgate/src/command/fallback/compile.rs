//! Whether this build can serve a snapshot.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use keelgate_snapshot::Snapshot;
use tempfile::TempDir;

use super::access::Access;
use crate::node::{self, Activation};

/// Compiles snapshots as a data plane does, without serving them.
pub(super) struct Compiler {
    activation: Arc<Activation>,
    /// Where a node would keep what it makes at its start; away when this goes.
    _prefix: TempDir,
}

impl Compiler {
    /// Makes one with the settings of this node.
    pub(super) fn new(access: &Access) -> Result<Self> {
        let prefix = TempDir::with_prefix("keelgate-compile-")
            .context("cannot make a temporary directory")?;
        let mut settings = access.settings.clone();
        settings.node.prefix = prefix.path().to_owned();
        let activation = node::activation(&settings, Arc::clone(&access.schemas))?;
        Ok(Self {
            activation: Arc::new(activation),
            _prefix: prefix,
        })
    }

    /// Compiles a snapshot; answers what of it could not be used while everything else would serve.
    pub(super) fn compile(&self, snapshot: &Snapshot) -> Result<Vec<String>> {
        self.activation.activate(snapshot)?;
        let active = self.activation.active();
        let flaws = active.borrow().as_ref().map(|active| active.flaws.clone());
        Ok(flaws.unwrap_or_default())
    }

    /// The means of compiling, for a publisher's own check.
    pub(super) fn activation(&self) -> Arc<Activation> {
        Arc::clone(&self.activation)
    }
}
