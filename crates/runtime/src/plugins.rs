//! Where compiled plugins come from.

use std::sync::Arc;

use keelgate_entities::kinds;
use keelgate_plugins::{Directory, Plugin, Registry};

/// The plugins that this node knows. It outlives snapshots, and so does the state that plugins
/// keep in it (counters of a rate limit).
pub trait Plugins: Send + Sync {
    /// Compiles one configuration.
    ///
    /// # Errors
    /// What is wrong with the configuration, in one line.
    fn compile(
        &self,
        plugin: &kinds::Plugin,
        directory: &Arc<Directory>,
    ) -> Result<Arc<dyn Plugin>, String>;

    /// The plugin's place in the chain: the greatest runs first. `None` for an unknown plugin.
    fn priority(&self, name: &str) -> Option<i32>;
}

impl Plugins for Registry {
    fn compile(
        &self,
        plugin: &kinds::Plugin,
        directory: &Arc<Directory>,
    ) -> Result<Arc<dyn Plugin>, String> {
        Self::compile(self, plugin, directory).map_err(|error| error.reason.to_string())
    }

    fn priority(&self, name: &str) -> Option<i32> {
        Self::priority(self, name)
    }
}
