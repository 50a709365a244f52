//! Where secrets come from.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Object;
use crate::schema::definition::{Variant, Variants};
use crate::schema::{Field, Schema, typedefs};

/// Where secrets come from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Vault {
    /// Identity.
    pub id: Uuid,
    /// What references call it: `{vault://PREFIX/…}`.
    pub prefix: String,
    /// Which kind of secret store it is, for example `env`.
    pub name: String,
    /// Settings of the secret store.
    #[serde(default)]
    pub config: Object,
}

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
                .description(
                    "Host part of the references that lead here: `{vault://PREFIX/…}`. Unique.",
                ),
            Field::string("name")
                .required()
                .description("Which kind of secret store this is, for example `env`."),
            Field::string("description").description("A note for people; without effect."),
            Field::record("config", [])
                .description("Settings of the secret store; their shape depends on `name`."),
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
        .description("Put before the name in a reference to get the name of the variable.");
    Variant {
        words: &["env"],
        fields: vec![Field::record("config", [prefix])],
        checks: Vec::new(),
    }
}
