//! Settings of `acl`.

use keelgate_entities::schema::{CheckRule, Field, ITEM, PluginSchema};
use serde::Deserialize;

use crate::registry::VERSION;

/// Name of the plugin.
pub(crate) const NAME: &str = "acl";

/// Description of the settings.
pub(crate) fn schema() -> PluginSchema {
    PluginSchema::new(NAME, 950, VERSION)
        .no_consumer()
        .http_only()
        .fields([
            Field::array("allow", Field::string(ITEM))
                .description("Groups whose members are let through."),
            Field::array("deny", Field::string(ITEM))
                .description("Groups whose members are refused."),
            Field::boolean("hide_groups_header")
                .required()
                .default(false)
                .description("Whether the upstream is not told the groups."),
            Field::boolean("always_use_authenticated_groups")
                .required()
                .default(false)
                .description("Whether groups that an authentication plugin found count before those of the consumer."),
        ])
        .check(CheckRule::only_one_of(&["config.allow", "config.deny"]))
        .check(CheckRule::at_least_one_of(&["config.allow", "config.deny"]))
}

/// The settings that this build uses: none of its authentication plugins finds groups.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Config {
    pub(crate) allow: Option<Vec<String>>,
    pub(crate) deny: Option<Vec<String>>,
    pub(crate) hide_groups_header: bool,
}
