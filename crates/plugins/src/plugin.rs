//! What a plugin is to the phases of a request.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use rustls::sign::CertifiedKey;

use crate::{Exchange, Response, StreamPlugin};

/// The phases that a compiled plugin takes part in; the runtime builds one chain per phase from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    /// When a TLS connection needs a certificate; only global plugins.
    pub certificate: bool,
    /// Before routing; only global plugins.
    pub rewrite: bool,
    /// After routing, before the upstream is called.
    pub access: bool,
    /// When the response's status and headers are known.
    pub header_filter: bool,
    /// For every piece of the response body.
    pub body_filter: bool,
    /// After the response was sent.
    pub log: bool,
    /// The request body must be read whole before `access` ([`Exchange::request_body`]).
    pub request_body: bool,
}

/// What follows after a plugin ran.
#[derive(Debug)]
pub enum Flow {
    /// The next plugin.
    Continue,
    /// This response, at once; later plugins of the phase and the upstream are passed over, the
    /// response phases still run.
    Respond(Box<Response>),
}

/// The outcome of [`Plugin::access`]: at once, or after waiting for I/O.
pub enum Access<'a> {
    /// Decided without waiting; costs no allocation.
    Ready(Flow),
    /// Must wait (a counter in Redis, an identity provider).
    Pending(Pin<Box<dyn Future<Output = Flow> + 'a>>),
}

/// One compiled configuration of a plugin.
///
/// `'r` is the life of the runtime that the request runs on: what a plugin puts into the
/// [`Exchange`] (a consumer, say) may be borrowed from its own compiled state.
pub trait Plugin: Send + Sync + 'static {
    /// The phases that it takes part in with this configuration.
    fn phases(&self) -> Phases;

    /// The certificate for a TLS server name that no certificate of the configuration is for; only
    /// global plugins are asked. Must not wait.
    fn certificate(&self, _name: &str) -> Option<Arc<CertifiedKey>> {
        None
    }

    /// Before routing; only global plugins.
    fn rewrite<'r>(&'r self, _exchange: &mut Exchange<'r>) -> Flow {
        Flow::Continue
    }

    /// Whether, for the request at hand, `access` needs the request body; asked before it where
    /// [`Phases::request_body`] is set.
    fn wants_request_body(&self, _exchange: &Exchange<'_>) -> bool {
        true
    }

    /// After routing, before the upstream is called.
    fn access<'a, 'r: 'a>(&'r self, _exchange: &'a mut Exchange<'r>) -> Access<'a> {
        Access::Ready(Flow::Continue)
    }

    /// When [`Exchange::response`] holds the response's status and headers.
    fn header_filter<'r>(&'r self, _exchange: &mut Exchange<'r>) {}

    /// Whether, for the response at hand, `body_filter` needs the body whole; asked after
    /// `header_filter`. The body then comes in one call.
    fn wants_whole_body(&self, _exchange: &Exchange<'_>) -> bool {
        false
    }

    /// For every piece of the response body, before it is sent; `last` with the final one (which
    /// may be empty).
    fn body_filter<'r>(&'r self, _exchange: &mut Exchange<'r>, piece: Bytes, _last: bool) -> Bytes {
        piece
    }

    /// The part that sees TCP, TLS and UDP sessions; none for a plugin of requests only.
    fn stream(&self) -> Option<&dyn StreamPlugin> {
        None
    }

    /// After the response was sent or the client went away.
    fn log<'r>(&'r self, _exchange: &mut Exchange<'r>) {}
}
