//! What is particular to the routes of TCP, TLS and UDP sessions.

use keelgate_entities::kinds::{self, Protocol, Route};
use keelgate_plugins::Plugin;

use crate::{Chain, CompileError, ServiceEntry};

/// Whether the route is one of streams; a route is never one of both.
pub(crate) fn is_stream_route(route: &Route) -> bool {
    route.protocols.first().copied().is_some_and(is_stream)
}

/// Whether the protocol is one of streams.
pub(crate) fn is_stream(protocol: Protocol) -> bool {
    use Protocol::{Tcp, Tls, TlsPassthrough, Udp};
    matches!(protocol, Tcp | Tls | TlsPassthrough | Udp)
}

/// Which of requests and sessions a plugin's configuration is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subsystems {
    pub(crate) http: bool,
    pub(crate) stream: bool,
}

impl Subsystems {
    /// A configuration that does not say is for requests.
    pub(crate) fn of(plugin: &kinds::Plugin) -> Self {
        Self {
            http: plugin.protocols.is_empty() || !plugin.protocols.iter().copied().all(is_stream),
            stream: plugin.protocols.iter().copied().any(is_stream),
        }
    }
}

/// The service of a stream route must be one of streams as well.
pub(crate) fn check_service(route: &Route, service: &ServiceEntry) -> Result<(), CompileError> {
    let protocol = service.service.protocol;
    if is_stream(protocol) {
        return Ok(());
    }
    Err(CompileError {
        kind: "routes",
        id: route.id,
        name: route.name.clone(),
        what: format!(
            "it is a route of streams, and its service speaks {}: its sessions are closed",
            protocol.as_str()
        ),
        mend: "give the service the protocol tcp, tls or udp",
    })
}

/// A plugin that is to act on streams and cannot.
pub(crate) fn check_plugin(
    plugin: &kinds::Plugin,
    compiled: &dyn Plugin,
) -> Result<(), CompileError> {
    if compiled.stream().is_some() {
        return Ok(());
    }
    let what = if guards(compiled) {
        "this build cannot run it on streams: the sessions of its routes are closed"
    } else {
        "this build cannot run it on streams: their sessions pass without it"
    };
    Err(CompileError {
        kind: "plugins",
        id: plugin.id,
        name: Some(plugin.name.clone()),
        what: what.to_owned(),
        mend: "take tcp, tls, tls_passthrough and udp out of its protocols",
    })
}

/// Whether a plugin can keep a request from passing.
fn guards(plugin: &dyn Plugin) -> bool {
    let phases = plugin.phases();
    phases.access || phases.rewrite
}

/// Whether a plugin of the chain guards its route and cannot do so for sessions.
pub(crate) fn is_closed(chain: &Chain) -> bool {
    let mut plugins = chain.links().iter().filter_map(|link| link.resolve(None));
    plugins.any(|plugin| plugin.stream().is_none() && guards(plugin))
}
