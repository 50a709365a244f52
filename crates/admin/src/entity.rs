//! The endpoints of all kinds of entities, derived from their schemas:
//!
//! - `/services`, `/services/S`;
//! - what belongs to another: `/services/S/routes`, `/services/S/routes/R`;
//! - what is referred to: `/routes/R/service`.
//!
//! Every write reads, decides and writes inside one transaction ([`writer`]). Kinds that differ
//! have a file of their own.

mod acls;
mod ca_certificates;
mod certificates;
mod child;
mod consumers;
mod key;
mod listing;
mod reference;
mod target_health;
mod targets;
mod top;
mod ttl;
mod writer;

use http::Method;
use keelgate_entities::{Schema, Schemas};

use crate::routes::Routes;

pub(crate) use key::{check_unique, id};
pub(crate) use listing::{answer as page_answer, page_size, token};

/// Adds the endpoints of every kind.
pub(crate) fn add(routes: &mut Routes, schemas: &Schemas) {
    // What no path names is for the gateway alone.
    let records = schemas.records().iter();
    let named = records.filter(|schema| schema.endpoint_key.is_some());
    for schema in schemas.kinds().iter().chain(named) {
        top::add(routes, schema);
        for foreign in schema.foreign_keys() {
            let Some(parent) = schemas.kind(foreign.kind) else {
                continue;
            };
            let names = Names {
                child: schema.name,
                parent: parent.name,
                field: field_name(schema, foreign.field),
            };
            child::add(routes, schema, parent, names);
            reference::add(routes, schema, parent, names);
        }
    }
    acls::add(routes, schemas);
    consumers::add(routes);
    certificates::add(routes);
    targets::add(routes);
    target_health::add_reading(routes);
}

/// Adds what sets the health of targets, on nodes that serve traffic.
pub(crate) fn add_health(routes: &mut Routes) {
    target_health::add_setting(routes);
}

/// Adds what the status API tells of upstreams, where there is no database.
pub(crate) fn add_status(routes: &mut Routes) {
    targets::add_reading(routes);
    target_health::add_reading(routes);
}

/// Two kinds, one of which refers to the other.
#[derive(Clone, Copy)]
struct Names {
    child: &'static str,
    parent: &'static str,
    /// The field of the child.
    field: &'static str,
}

fn field_name(schema: &Schema, name: &str) -> &'static str {
    schema.field(name).map_or("", |field| field.name)
}

/// What paths call a kind.
fn path_name(schema: &Schema) -> &'static str {
    schema.admin_name.unwrap_or(schema.name)
}

/// What paths call a kind below its owner.
fn nested_name(schema: &Schema) -> &'static str {
    schema
        .admin_nested_name
        .unwrap_or_else(|| path_name(schema))
}

/// The methods of a single entity.
const SINGLE: [Method; 4] = [Method::GET, Method::PUT, Method::PATCH, Method::DELETE];
