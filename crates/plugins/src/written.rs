//! What logs say of the entities of a configuration, written once.

use std::fmt;
use std::sync::OnceLock;

use keelgate_entities::kinds::{Route, Service};
use serde::Serialize;

use crate::shown::Owned;

/// A route or a service in JSON, written when a log first tells of it: of most, none ever does.
///
/// It belongs to one entity of one configuration, which never changes.
#[derive(Default)]
pub struct Written(OnceLock<Box<[u8]>>);

impl Written {
    fn get(&self, entity: &impl Serialize) -> &[u8] {
        self.0.get_or_init(|| {
            let json = serde_json::to_vec(&Owned::of(entity));
            json.expect("texts and numbers are written to memory")
                .into()
        })
    }
}

impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Written")
            .field(&self.0.get().is_some())
            .finish()
    }
}

/// Where the route and the service of a request are written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Places<'r> {
    /// Of its route.
    pub route: Option<&'r Written>,
    /// Of its service.
    pub service: Option<&'r Written>,
}

impl Places<'_> {
    /// Appends a route in JSON.
    pub(crate) fn route(&self, route: &Route, out: &mut Vec<u8>) {
        append(self.route, route, out);
    }

    /// Appends a service in JSON.
    pub(crate) fn service(&self, service: &Service, out: &mut Vec<u8>) {
        append(self.service, service, out);
    }
}

fn append(place: Option<&Written>, entity: &impl Serialize, out: &mut Vec<u8>) {
    match place {
        Some(place) => out.extend_from_slice(place.get(entity)),
        None => serde_json::to_writer(out, &Owned::of(entity))
            .expect("texts and numbers are written to memory"),
    }
}
