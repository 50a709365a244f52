//! Decoding a body after its framing.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;

use super::chunked::Chunked;
use super::{Framing, Malformed};

/// What a decoder found.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Some of the body.
    Data(Bytes),
    /// Nothing until more bytes arrive.
    More,
    /// The end.
    End,
}

/// A decoder of one body.
#[derive(Debug)]
pub(crate) enum BodyDecoder {
    /// So many bytes are left.
    Length(u64),
    /// Chunks.
    Chunked(Chunked),
    /// Everything until the peer closes.
    UntilClose,
    /// A body until close whose peer closed.
    Closed,
}

impl BodyDecoder {
    pub(crate) fn new(framing: Framing) -> Self {
        match framing {
            Framing::Empty => Self::Length(0),
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(Chunked::new()),
            Framing::UntilClose => Self::UntilClose,
        }
    }

    /// Takes what can be decoded from the start of `input`.
    pub(crate) fn decode(&mut self, input: &mut BytesMut) -> Result<Piece, Malformed> {
        match self {
            Self::Length(0) | Self::Closed => Ok(Piece::End),
            Self::Length(_) | Self::UntilClose if input.is_empty() => Ok(Piece::More),
            Self::Length(left) => {
                let take = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(input.len());
                *left -= take as u64;
                Ok(Piece::Data(input.split_to(take).freeze()))
            }
            Self::UntilClose => Ok(Piece::Data(input.split().freeze())),
            Self::Chunked(chunked) => chunked.decode(input),
        }
    }

    /// Whether no data follows, as far as `input` tells.
    pub(crate) fn has_ended(&mut self, input: &mut BytesMut) -> Result<bool, Malformed> {
        match self {
            Self::Length(left) => Ok(*left == 0),
            Self::Chunked(chunked) => chunked.has_ended(input),
            Self::UntilClose => Ok(false),
            Self::Closed => Ok(true),
        }
    }

    /// The fields after the body, once its end was found; given once.
    pub(crate) fn trailers(&mut self) -> Option<HeaderMap> {
        match self {
            Self::Chunked(chunked) => chunked.trailers(),
            _ => None,
        }
    }

    /// Tells that the peer closed; an error when the body was not at its end.
    pub(crate) fn closed(&mut self) -> Result<(), Malformed> {
        match self {
            Self::UntilClose | Self::Closed => {
                *self = Self::Closed;
                Ok(())
            }
            _ => Err(Malformed::Truncated),
        }
    }
}
