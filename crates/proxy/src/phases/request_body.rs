//! The request body on its way to the upstream.

use std::cell::RefCell;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use http::{HeaderMap as Trailers, HeaderName, StatusCode};
use smallvec::SmallVec;

use super::{Answer, Flight};
use crate::downstream::{Upload, UploadFault};
use crate::http1::Framing;

/// A body up to this length is read whole before the upstream is called: a slow client then does
/// not hold an upstream connection. Up to this length a body is also kept, so that the request can
/// be sent again when an attempt fails.
const READ_AHEAD: u64 = 128 * 1024;

/// What may have arrived together with the head of a request that is not to be waited for.
const ARRIVED: u64 = 8 * 1024;

/// A request body as far as it was read, and how it goes on.
pub(super) struct RequestBody {
    /// What was read; can be sent more than once.
    pub(super) ahead: SmallVec<[Bytes; 2]>,
    /// Whether more follows from the client.
    pub(super) more: bool,
    /// How its end is told to the upstream.
    pub(super) framing: Framing,
    /// What was read of it while an attempt was under way.
    pub(super) passed: RefCell<Passed>,
    /// The fields after a body that was read whole; they are rare, and long.
    pub(super) trailers: Option<Box<Trailers>>,
}

impl RequestBody {
    /// Takes back what an attempt that failed was given; `false` when it was too long to be kept.
    pub(super) fn take_back(&mut self) -> bool {
        let passed = std::mem::take(self.passed.get_mut());
        let Passed::Kept {
            pieces,
            end,
            trailers,
            ..
        } = passed
        else {
            *self.passed.get_mut() = passed;
            return false;
        };
        self.ahead.extend(pieces);
        if end {
            self.more = false;
            self.trailers = trailers;
        }
        true
    }
}

/// The pieces of a body that went from the client to an upstream.
pub(super) enum Passed {
    Kept {
        pieces: Vec<Bytes>,
        length: u64,
        /// Whether they are all that there was.
        end: bool,
        trailers: Option<Box<Trailers>>,
    },
    /// More than is kept.
    Lost,
}

impl Default for Passed {
    fn default() -> Self {
        Self::Kept {
            pieces: Vec::new(),
            length: 0,
            end: false,
            trailers: None,
        }
    }
}

impl Passed {
    pub(super) fn piece(&mut self, piece: &Bytes) {
        if let Self::Kept { pieces, length, .. } = self {
            *length += piece.len() as u64;
            if *length <= READ_AHEAD {
                pieces.push(piece.clone());
            } else {
                *self = Self::Lost;
            }
        }
    }

    pub(super) fn end(&mut self, fields: Option<&Trailers>) {
        if let Self::Kept { end, trailers, .. } = self {
            *end = true;
            *trailers = fields.cloned().map(Box::new);
        }
    }
}

/// Reads the whole body for a plugin that asked for it.
pub(super) async fn hold<U: Upload>(flight: &mut Flight<'_>, upload: &mut U) -> Result<(), Answer> {
    let limit = flight.core.settings.client.held_body;
    if flight.received.framing == Framing::Empty {
        flight.exchange.request_body = Some(Bytes::new());
        return Ok(());
    }
    if matches!(flight.received.framing, Framing::Length(length) if length > limit) {
        return Err(Answer::failed(flight, StatusCode::PAYLOAD_TOO_LARGE));
    }
    let mut body = BytesMut::new();
    loop {
        match upload.next().await {
            Ok(Some(piece)) => body.extend_from_slice(&piece),
            Ok(None) => break,
            Err(fault) => return Err(Answer::of_upload(flight, &fault)),
        }
        if body.len() as u64 > limit {
            return Err(Answer::failed(flight, StatusCode::PAYLOAD_TOO_LARGE));
        }
    }
    flight.exchange.request_body = Some(body.freeze());
    Ok(())
}

/// Reads as much of the body as is read before the upstream is called. Without `wait`
/// (`request_buffering` is off) that is what has arrived already. Fields after the body are kept for
/// upstreams that take `trailers`.
pub(super) async fn prepare<U: Upload>(
    flight: &mut Flight<'_>,
    upload: &mut U,
    wait: bool,
    trailers: bool,
) -> Result<RequestBody, UploadFault> {
    if let Some(body) = flight.exchange.request_body.take() {
        let framing = match flight.received.framing {
            Framing::Empty if body.is_empty() => Framing::Empty,
            _ => Framing::Length(body.len() as u64),
        };
        return Ok(RequestBody {
            ahead: SmallVec::from_iter([body]),
            more: false,
            framing,
            passed: RefCell::default(),
            trailers: None,
        });
    }
    upload.invite().await?;
    let mut body = RequestBody {
        ahead: SmallVec::new(),
        more: true,
        framing: flight.received.framing,
        passed: RefCell::default(),
        trailers: None,
    };
    let mut read = 0;
    let limit = if wait { READ_AHEAD } else { ARRIVED };
    match body.framing {
        Framing::Empty | Framing::UntilClose => {
            body.more = false;
            return Ok(body);
        }
        Framing::Length(length) if length > limit => return Ok(body),
        Framing::Length(_) | Framing::Chunked => {}
    }
    while read <= limit {
        let piece = if wait {
            upload.next().await?
        } else {
            match upload.next().now_or_never() {
                Some(piece) => piece?,
                None => return Ok(body),
            }
        };
        match piece {
            Some(piece) => {
                read += piece.len() as u64;
                body.ahead.push(piece);
            }
            None => {
                body.more = false;
                if trailers {
                    let fields = fields_after(upload, flight.exchange.headers.keys());
                    body.trailers = fields.map(Box::new);
                }
                if body.trailers.is_none() {
                    body.framing = Framing::Length(read);
                }
                break;
            }
        }
    }
    Ok(body)
}

/// The fields after a body that was read to its end, as they are passed on: what the request's
/// head tells, or a plugin has told, none of them may tell otherwise.
pub(super) fn fields_after<'n, U: Upload>(
    upload: &mut U,
    told: impl IntoIterator<Item = &'n HeaderName>,
) -> Option<Trailers> {
    let mut trailers = upload.trailers()?;
    for name in told {
        trailers.remove(name);
    }
    (!trailers.is_empty()).then_some(trailers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body() -> RequestBody {
        RequestBody {
            ahead: SmallVec::from_iter([Bytes::from_static(b"a")]),
            more: true,
            framing: Framing::Chunked,
            passed: RefCell::default(),
            trailers: None,
        }
    }

    #[test]
    fn what_was_passed_is_sent_again_before_what_follows() {
        let mut body = body();
        body.passed.get_mut().piece(&Bytes::from_static(b"b"));
        assert!(body.take_back());
        assert!(body.more);
        body.passed.get_mut().piece(&Bytes::from_static(b"c"));
        body.passed.get_mut().end(None);
        assert!(body.take_back());
        assert!(!body.more);
        assert_eq!(body.ahead.concat(), b"abc");
    }

    #[test]
    fn a_body_that_is_too_long_to_be_kept_is_lost_for_good() {
        let mut body = body();
        let half = Bytes::from(vec![0; READ_AHEAD as usize / 2]);
        body.passed.get_mut().piece(&half);
        body.passed.get_mut().piece(&half);
        assert!(matches!(body.passed.get_mut(), Passed::Kept { .. }));
        body.passed.get_mut().piece(&Bytes::from_static(b"x"));
        body.passed.get_mut().end(None);
        assert!(!body.take_back());
        assert!(!body.take_back());
    }
}
