//! Where secrets come from.

use crate::schema::definition::{Variant, Variants};
use crate::schema::{Field, Schema, typedefs};

/// The schema of `vaults`. What `config` holds is described by the vault that is named.
pub(crate) fn schema() -> Schema {
    Schema::new(
        "vaults",
        [
            typedefs::id(),
            Field::string("prefix")
                .required()
                .matches("^[a-z][a-z0-9-]*?[a-z0-9]+$")
                .not_one_of(["env"])
                .description("The unique prefix (or identifier) for this Vault configuration."),
            Field::string("name")
                .required()
                .description("The name of the Vault that's going to be added."),
            Field::string("description").description("The description of the Vault entity."),
            Field::record("config", []).description("The configuration properties for the Vault."),
            typedefs::seconds("created_at"),
            typedefs::seconds("updated_at"),
            typedefs::tags(),
        ],
    )
    .endpoint_key("prefix")
    .cache_key(&["prefix"])
    .unique_key("prefix", &["prefix"])
    .variants(Variants::Vaults(vec![environment()]))
}

/// Environment variables.
fn environment() -> Variant {
    let prefix = Field::string("prefix")
        .matches("^[A-Za-z_-][A-Za-z0-9_-]*$")
        .description("The prefix for the environment variable that the value will be stored in.");
    Variant {
        words: &["env"],
        fields: vec![Field::record("config", [prefix])],
        checks: Vec::new(),
    }
}
