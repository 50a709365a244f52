//! Targets: the addresses behind an upstream.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::null;
use crate::Object;
use crate::Reference;
use crate::format::host;
use crate::schema::{Field, Schema, typedefs};

/// An address behind an upstream.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Target {
    /// Identity.
    pub id: Uuid,
    /// The upstream it belongs to.
    pub upstream: Reference,
    /// `host:port`.
    pub target: String,
    /// Share of the load, 0 to 65535; 0 takes it out.
    #[serde(default = "hundred", deserialize_with = "null::or_number::<_, _, 100>")]
    pub weight: u32,
    /// Labels.
    #[serde(default)]
    pub tags: Option<Vec<String>>,
}

fn hundred() -> u32 {
    100
}

/// The port of a target that names none.
const DEFAULT_PORT: u16 = 8000;

/// The schema of `targets`.
pub(crate) fn schema() -> Schema {
    Schema::new(
        "targets",
        [
            typedefs::id(),
            typedefs::milliseconds("created_at"),
            typedefs::milliseconds("updated_at"),
            Field::foreign("upstream", "upstreams")
                .required()
                .cascade()
                .description("The upstream whose requests are shared out to this target."),
            Field::string("target")
                .required()
                .custom(host::target)
                .description("`HOST:PORT`; the port is 8000 when left out."),
            Field::integer("weight")
                .default(100)
                .between(0.0, 65_535.0)
                .description("Share of the traffic relative to the other targets; 0 takes it out."),
            typedefs::tags(),
        ],
    )
    .endpoint_key("target")
    .cache_key(&["upstream", "target"])
    .prepare(full_address)
}

/// Brings the address into its one form: with a port, addresses in full.
fn full_address(input: &mut Object) -> Result<(), (&'static str, String)> {
    if let Some(serde_json::Value::String(target)) = input.get_mut("target") {
        let parsed = host::parse(target).map_err(|_| {
            let why = "Invalid target; not a valid hostname or ip address";
            ("target", why.to_owned())
        })?;
        *target = parsed.with_port(DEFAULT_PORT);
    }
    Ok(())
}
