//! Towards clients: a request as it comes in, and a response as it goes out, whatever the
//! HTTP version. The phases know nothing more of a client than this.

pub(crate) mod http1;
pub(crate) mod http2;
mod refusal;

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap as Trailers, Method, StatusCode, Version};
use keelgate_plugins::HeaderMap;
use keelgate_plugins::exchange::{ClientCertificate, TlsSession};

use crate::access_log::ConnectionFacts;
use crate::http1::{Framing, Malformed};
use crate::net::Connection;

/// The client's end of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) peer: SocketAddr,
    /// The peer's address and the local port as every request tells them to its upstream.
    pub(crate) peer_text: Rc<str>,
    /// What the client has connected to, as it knows it.
    pub(crate) local: SocketAddr,
    pub(crate) port_text: Rc<str>,
    pub(crate) tls: bool,
    pub(crate) sni: Option<String>,
    /// How the connection is encrypted.
    pub(crate) session: Option<TlsSession>,
    /// What the client has shown of itself.
    pub(crate) certificate: Option<Arc<ClientCertificate>>,
    /// What a PROXY protocol header said.
    pub(crate) told: Option<SocketAddr>,
    /// Which connection of the process it is.
    pub(crate) number: u64,
}

impl Client {
    pub(crate) fn new(peer: SocketAddr, local: SocketAddr, tls: bool) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        // An IPv4 client of an IPv6 socket is an IPv4 client.
        let canonical =
            |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
        let (peer, local) = (canonical(peer), canonical(local));
        Self {
            peer,
            peer_text: peer.ip().to_string().into(),
            local,
            port_text: local.port().to_string().into(),
            tls,
            sni: None,
            session: None,
            certificate: None,
            told: None,
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// What logs tell of the connection.
    pub(crate) fn facts(&self) -> ConnectionFacts<'_> {
        ConnectionFacts {
            number: self.number,
            peer: self.peer.ip(),
            told: self.told.map(|told| told.ip()),
            server_name: self.sni.as_deref(),
            session: self.session,
            certificate: self.certificate.as_deref(),
        }
    }
}

/// The head of a request.
pub(crate) struct Incoming {
    pub(crate) method: Method,
    /// In origin form: path and query.
    pub(crate) target: String,
    /// The host that is asked for, without its port; may be empty.
    pub(crate) host: String,
    /// The host of a target in absolute form.
    pub(crate) authority: Option<String>,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    /// Whether some header name contains an underscore.
    pub(crate) underscores: bool,
    pub(crate) framing: Framing,
    /// How long the head was, in bytes; that of HTTP/2 as it would be without compression.
    pub(crate) length: usize,
}

/// Why a request body could not be read on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UploadFault {
    /// The client went away.
    #[error("the client went away")]
    Gone,
    /// Nothing came in time.
    #[error("the client took too long to send its body")]
    Timeout,
    /// The body is longer than the limit.
    #[error("the request body is too long")]
    TooLong,
    /// The body cannot be understood.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

impl UploadFault {
    /// What the client is told; nothing when it is gone.
    pub(crate) fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Gone => None,
            Self::Timeout => Some(StatusCode::REQUEST_TIMEOUT),
            Self::TooLong => Some(StatusCode::PAYLOAD_TOO_LARGE),
            Self::Malformed(_) => Some(StatusCode::BAD_REQUEST),
        }
    }
}

/// The body of a request.
pub(crate) trait Upload {
    /// Tells the client to send its body, if it asked first (`Expect: 100-continue`).
    async fn invite(&mut self) -> Result<(), UploadFault>;

    /// The next piece; none at the end. May be dropped while pending without losing anything.
    async fn next(&mut self) -> Result<Option<Bytes>, UploadFault>;

    /// The fields after the body, once its end was found; given once.
    fn trailers(&mut self) -> Option<Trailers>;

    /// Bytes of body received so far.
    fn received(&self) -> u64;
}

/// The head of a response.
pub(crate) struct Outgoing<'a> {
    pub(crate) status: StatusCode,
    /// What the upstream called the status; none for the usual phrase.
    pub(crate) reason: Option<&'a [u8]>,
    pub(crate) headers: &'a HeaderMap,
    /// How the end of the body is told: `Empty`, `Length`, or `Chunked` for an unknown length.
    pub(crate) framing: Framing,
    /// Whether a body follows: a `HEAD` tells a length without one.
    pub(crate) body: bool,
    /// Whether fields may follow the body that the client takes.
    pub(crate) trailers: bool,
    /// Whether the connection cannot be used for another request.
    pub(crate) close: bool,
}

/// The way a response goes out.
pub(crate) trait Respond {
    /// Sends an informational head before the final one, where the client can be sent such.
    async fn informational(&mut self, status: StatusCode, headers: &HeaderMap) -> io::Result<()>;

    /// Sends the head, together with what follows.
    fn head(&mut self, head: &Outgoing<'_>);

    /// Sends a piece of the body.
    async fn data(&mut self, piece: Bytes) -> io::Result<()>;

    /// Sends the last piece of the body, together with its end where that is written.
    async fn last(&mut self, piece: Bytes) -> io::Result<()> {
        self.data(piece).await
    }

    /// Sends what was held back.
    async fn flush(&mut self) -> io::Result<()>;

    /// Ends the response; with fields after the body, where the head left room for them.
    async fn finish(&mut self, trailers: Option<Trailers>) -> io::Result<()>;

    /// The bare connection, for a tunnel after 101; none where there is no such thing.
    fn connection(&self) -> Option<&Connection>;

    /// Ready when the client has gone away; `read` when finding that out may read from it.
    fn poll_gone(&self, read: bool, cx: &mut Context<'_>) -> Poll<()>;

    /// Whether the client was sent the head.
    fn has_begun(&self) -> bool;

    /// Bytes of body sent so far.
    fn sent(&self) -> u64;

    /// Bytes sent so far, of head and body; without what HTTP/2 adds and compresses.
    fn written(&self) -> u64;
}

/// What remains to be done with the connection after a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Another request may follow.
    KeepAlive,
    /// Nothing may follow.
    Close,
    /// The response is cut short: the client must see that.
    Abort,
    /// The client went away, or takes nothing any more.
    Gone,
}

impl Outcome {
    /// What a failure to write a response means.
    pub(crate) fn of_write(error: &io::Error) -> Self {
        match error.kind() {
            MISTOLD => Self::Abort,
            _ => Self::Gone,
        }
    }

    /// Whether the response did not come to its end.
    pub(crate) fn is_cut_short(self) -> bool {
        matches!(self, Self::Abort | Self::Gone)
    }
}

/// The kind of error of a body that is not as long as its head told: no fault of the client's.
const MISTOLD: io::ErrorKind = io::ErrorKind::InvalidData;

fn mistold(how: &'static str) -> io::Error {
    io::Error::new(MISTOLD, how)
}
