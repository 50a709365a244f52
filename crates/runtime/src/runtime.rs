//! What serves: a compiled snapshot, read-only.

use std::fmt;
use std::sync::Arc;

use keelgate_entities::Pick;
use keelgate_entities::kinds::Route;
use keelgate_plugins::{Directory, Places, Written};
use keelgate_router::{Router, StreamRouter};

use crate::people::People;
use crate::upstream_tls::Profiles;
use crate::{Certificates, Chain, CompileError, ServiceEntry, UpstreamEntry};

/// A compiled snapshot. Never changes; requests hold it until they end.
pub struct Runtime {
    pub(crate) label: String,
    pub(crate) router: Router,
    pub(crate) stream_router: StreamRouter,
    pub(crate) routes: Vec<Pick<Route>>,
    pub(crate) entries: Vec<RouteEntry>,
    pub(crate) services: Vec<ServiceEntry>,
    pub(crate) upstreams: Vec<Arc<UpstreamEntry>>,
    pub(crate) unrouted: Arc<Chain>,
    pub(crate) certificates: Certificates,
    pub(crate) profiles: Profiles,
    pub(crate) people: People,
    pub(crate) directory: Arc<Directory>,
    pub(crate) flaws: Vec<CompileError>,
}

/// What belongs to a route.
#[derive(Debug)]
pub(crate) struct RouteEntry {
    pub(crate) service: Option<u32>,
    pub(crate) chain: Arc<Chain>,
    pub(crate) closed: bool,
    pub(crate) written: Written,
}

/// A request's route with everything that belongs to it.
#[derive(Clone, Copy, Debug)]
pub struct Routed<'r> {
    /// The route.
    pub route: &'r Route,
    /// Its service, if it has one.
    pub service: Option<&'r ServiceEntry>,
    /// Its plugins.
    pub chain: &'r Chain,
    /// Whether nothing may pass: a plugin that guards the route cannot guard streams.
    pub closed: bool,
    written: &'r Written,
    shared: &'r Arc<Chain>,
}

impl<'r> Routed<'r> {
    /// Its plugins, for as long as they are needed.
    pub fn keep_chain(&self) -> Arc<Chain> {
        Arc::clone(self.shared)
    }

    /// Where logs find the route and its service written out.
    pub fn written(&self) -> Places<'r> {
        Places {
            route: Some(self.written),
            service: self.service.map(|entry| &entry.written),
        }
    }
}

impl Runtime {
    /// What logs call this snapshot.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Finds routes.
    pub fn router(&self) -> &Router {
        &self.router
    }

    /// Finds routes of TCP, TLS and UDP sessions.
    pub fn stream_router(&self) -> &StreamRouter {
        &self.stream_router
    }

    /// What belongs to the route that [`Router::find`] or [`StreamRouter::find`] found by this
    /// index.
    pub fn routed(&self, route: usize) -> Option<Routed<'_>> {
        let entry = self.entries.get(route)?;
        Some(Routed {
            route: self.routes.get(route)?,
            service: entry
                .service
                .and_then(|service| self.services.get(service as usize)),
            chain: &entry.chain,
            closed: entry.closed,
            written: &entry.written,
            shared: &entry.chain,
        })
    }

    /// The plugins of a request before, or without, a route: the global ones.
    pub fn unrouted(&self) -> &Chain {
        &self.unrouted
    }

    /// An upstream by the index in [`crate::Origin::Upstream`].
    pub fn upstream(&self, index: usize) -> Option<&Arc<UpstreamEntry>> {
        self.upstreams.get(index)
    }

    /// All upstreams.
    pub fn upstreams(&self) -> &[Arc<UpstreamEntry>] {
        &self.upstreams
    }

    /// Certificates by server name.
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// Consumers and their credentials.
    pub fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// Entities that cannot be used although the rest serves: certificates, and services that need
    /// one of them, which answer 502 until it is mended.
    pub fn flaws(&self) -> &[CompileError] {
        &self.flaws
    }

    /// How many routes serve.
    pub fn route_count(&self) -> usize {
        self.routes.len()
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("label", &self.label)
            .field("routes", &self.routes.len())
            .field("services", &self.services.len())
            .finish_non_exhaustive()
    }
}
