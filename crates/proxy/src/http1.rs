//! HTTP/1 on the wire: heads, framing and bodies. Pure: bytes in, facts out, and back.
//!
//! Used on both sides, towards clients and towards upstreams.

pub(crate) mod body;
pub(crate) mod chunked;
pub(crate) mod encode;
pub(crate) mod framing;
pub(crate) mod head;
pub(crate) mod hop;
pub(crate) mod name;
pub(crate) mod reason;
pub(crate) mod trailers;

pub(crate) use body::{BodyDecoder, Piece};
pub(crate) use framing::Framing;
pub(crate) use head::{Limits, RequestHead, ResponseHead};

/// Bytes that break the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// The head cannot be read.
    #[error("the head is not HTTP/1")]
    Head,
    /// The first line is longer than the limit.
    #[error("the first line is too long")]
    LineTooLong,
    /// A header line, or all of them together, are longer than the limit.
    #[error("the header is too large")]
    HeaderTooLarge,
    /// A version that is not HTTP/1.
    #[error("the HTTP version is not supported")]
    Version,
    /// A transfer coding other than `chunked`.
    #[error("the transfer coding is not supported")]
    Coding,
    /// Length facts that contradict each other, or are no number.
    #[error("the length of the body is unclear")]
    Length,
    /// A chunk that cannot be read.
    #[error("the chunked body cannot be read")]
    Chunk,
    /// The peer closed before the end.
    #[error("the connection ended inside the message")]
    Truncated,
}
