//! Kinds that are described and not kept: there is no collection of them to write to.

use serde_json::Value;

use crate::schema::{CheckRule, Field, ITEM, Schema, typedefs};

/// Names that a workspace cannot have.
const CORE_KINDS: [&str; 17] = [
    "workspaces",
    "consumers",
    "certificates",
    "services",
    "routes",
    "snis",
    "upstreams",
    "targets",
    "plugins",
    "tags",
    "ca_certificates",
    "clustering_data_planes",
    "parameters",
    "vaults",
    "key_sets",
    "keys",
    "filter_chains",
];

/// Their schemas.
pub(crate) fn schemas() -> Vec<Schema> {
    vec![
        workspaces(),
        tags(),
        parameters(),
        clustering_data_planes(),
        filter_chains(),
    ]
}

fn workspaces() -> Schema {
    Schema::new(
        "workspaces",
        [
            typedefs::id(),
            typedefs::name("name").required().not_one_of(CORE_KINDS),
            Field::string("comment"),
            typedefs::seconds("created_at"),
            typedefs::seconds("updated_at"),
            Field::record("meta", []),
            Field::record("config", []),
        ],
    )
    .unique_key("name", &["name"])
}

fn tags() -> Schema {
    Schema::new(
        "tags",
        [
            Field::string("tag")
                .required()
                .custom(crate::format::name::tag)
                .description("A label that an entity has."),
            Field::string("entity_name")
                .required()
                .description("The collection of the entity."),
            typedefs::id().named("entity_id").required(),
        ],
    )
}

fn parameters() -> Schema {
    Schema::new(
        "parameters",
        [
            typedefs::seconds("created_at"),
            Field::string("key")
                .required()
                .description("What the value is called."),
            Field::string("value")
                .required()
                .description("What the cluster remembers under the key."),
        ],
    )
    .unique_key("key", &["key"])
}

fn clustering_data_planes() -> Schema {
    let expiry = Field::number("expiry_timestamp").timestamp().optional();
    Schema::new(
        "clustering_data_planes",
        [
            typedefs::id().required(),
            typedefs::seconds("last_seen"),
            typedefs::seconds("updated_at"),
            typedefs::ip("ip").required(),
            Field::string("config_hash").len_eq(32),
            typedefs::host("hostname").required(),
            Field::string("version").description("Of the data plane's program."),
            Field::string("sync_status")
                .required()
                .default("unknown")
                .one_of([
                    "unknown",
                    "normal",
                    "kong_version_incompatible",
                    "plugin_set_incompatible",
                    "plugin_version_incompatible",
                    "filter_set_incompatible",
                ])
                .description("Whether the data plane can follow the control plane."),
            Field::map("labels", Field::string(ITEM), Field::string(ITEM))
                .description("What tells data planes apart."),
            Field::record("cert_details", [expiry])
                .description("About the certificate that the data plane shows."),
            Field::set("rpc_capabilities", Field::string(ITEM))
                .description("Which calls the data plane understands."),
        ],
    )
    .ttl()
}

/// Filters are a matter of WebAssembly, which is not enabled.
fn filter_chains() -> Schema {
    let scope = |name, kind| Field::foreign(name, kind).default(Value::Null).cascade();
    let none: [&str; 0] = [];
    let filter = Field::record(
        ITEM,
        [
            Field::string("name")
                .required()
                .one_of(none)
                .err("no such filter"),
            Field::json("config").optional(),
            Field::boolean("enabled").required().default(true),
        ],
    );
    Schema::new(
        "filter_chains",
        [
            typedefs::id(),
            typedefs::name("name"),
            Field::boolean("enabled").required().default(true),
            scope("route", "routes"),
            scope("service", "services"),
            Field::array("filters", filter).required().len_min(1),
            typedefs::seconds("created_at"),
            typedefs::seconds("updated_at"),
            typedefs::tags(),
        ],
    )
    .unique_key("name", &["name"])
    .unique_key("route", &["route"])
    .unique_key("service", &["service"])
    .check(CheckRule::mutually_exclusive(&["service", "route"]))
    .check(CheckRule::at_least_one_of(&["service", "route"]))
    .check(CheckRule::custom_always(&["filters"], |_| {
        Err("wasm support is not enabled".to_owned())
    }))
}
