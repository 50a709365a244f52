//! Plugins that come from other crates, and become part of a build of their own.

use std::sync::{Arc, OnceLock};

use keelgate_entities::kinds;
use keelgate_entities::schema::PluginSchema;

use crate::error::Reason;
use crate::{Directory, Plugin, Registry};

/// A plugin that is not one of this crate. It is configured as any other where the setting `plugins`
/// names it.
pub struct CustomPlugin {
    schema: PluginSchema,
    compile: Box<Compile>,
}

type Compile =
    dyn Fn(&kinds::Plugin, &Arc<Directory>) -> Result<Arc<dyn Plugin>, Reason> + Send + Sync;

/// Why plugins cannot be added.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddError {
    /// Two plugins have one name.
    #[error("the name '{0}' belongs to another plugin; give this one another name")]
    Taken(&'static str),
    /// They were added before. What a build has does not change while it runs.
    #[error("plugins are added once, before a node starts; add all of them together")]
    Late,
}

/// Set before the first node of the process starts, never changed: which plugins there are is a
/// property of the build, as it is for those of this crate.
static ADDED: OnceLock<Vec<CustomPlugin>> = OnceLock::new();

impl CustomPlugin {
    /// A plugin with this description of its settings. `compile` makes of settings that the schema
    /// has checked and completed what runs with each request; it is called once per configuration,
    /// and may keep what outlives configurations.
    pub fn new(
        schema: PluginSchema,
        compile: impl Fn(&kinds::Plugin, &Arc<Directory>) -> Result<Arc<dyn Plugin>, Reason>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        let compile = Box::new(compile);
        Self { schema, compile }
    }
}

/// Adds plugins to this process.
///
/// # Errors
/// When a name is taken, or plugins were added before.
pub fn add(plugins: Vec<CustomPlugin>) -> Result<(), AddError> {
    for (place, plugin) in plugins.iter().enumerate() {
        let name = plugin.schema.name;
        let mut before = plugins.iter().take(place);
        if Registry::is_bundled(name) || before.any(|other| other.schema.name == name) {
            return Err(AddError::Taken(name));
        }
    }
    ADDED.set(plugins).map_err(|_| AddError::Late)
}

fn added() -> &'static [CustomPlugin] {
    ADDED.get().map(Vec::as_slice).unwrap_or_default()
}

pub(crate) fn schemas() -> impl Iterator<Item = PluginSchema> {
    added().iter().map(|plugin| plugin.schema.clone())
}

/// Compiles a configuration; none where no such plugin was added.
pub(crate) fn compile(
    plugin: &kinds::Plugin,
    directory: &Arc<Directory>,
) -> Option<Result<Arc<dyn Plugin>, Reason>> {
    let found = added()
        .iter()
        .find(|known| known.schema.name == plugin.name)?;
    Some((found.compile)(plugin, directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &'static str) -> CustomPlugin {
        let schema = PluginSchema::new(name, 1, "1.0");
        CustomPlugin::new(schema, |_, _| Err(Reason::Unknown))
    }

    #[test]
    fn a_name_belongs_to_one_plugin() {
        let error = add(vec![named("mine"), named("cors")]).unwrap_err();
        assert_eq!(error, AddError::Taken("cors"));
        let error = add(vec![named("mine"), named("mine")]).unwrap_err();
        assert_eq!(error, AddError::Taken("mine"));
        assert_eq!(schemas().count(), 0, "nothing was added");
    }
}
