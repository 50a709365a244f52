//! `body_filter`: plugins see, and may change, the response's body.

use bytes::{Bytes, BytesMut};

use super::Flight;

/// Responses that a plugin asks to have whole are held up to this length, in bytes; a longer one
/// is cut off, visibly.
const MAX_HELD: usize = 64 * 1024 * 1024;

/// The plugins' view of one response body.
pub(super) struct BodyFilter {
    active: bool,
    /// A plugin wants the body in one piece.
    held: Option<BytesMut>,
}

/// The body is longer than can be held.
#[derive(Debug)]
pub(super) struct TooLong;

impl BodyFilter {
    /// To be made after `header_filter`.
    pub(super) fn new(flight: &Flight<'_>) -> Self {
        let mut filter = Self {
            active: false,
            held: None,
        };
        for plugin in &flight.plugins {
            if plugin.phases().body_filter {
                filter.active = true;
                if plugin.wants_whole_body(&flight.exchange) {
                    filter.held = Some(BytesMut::new());
                }
            }
        }
        filter
    }

    /// Whether some plugin looks at the body.
    pub(super) fn is_active(&self) -> bool {
        self.active
    }

    /// Whether the body is held until its end.
    pub(super) fn holds(&self) -> bool {
        self.held.is_some()
    }

    /// A body that is there whole.
    pub(super) fn whole(&mut self, flight: &mut Flight<'_>, body: Bytes) -> Bytes {
        self.held = None;
        self.pass(flight, body, true)
    }

    /// A piece of the body; what is to be sent of it now.
    pub(super) fn piece(
        &mut self,
        flight: &mut Flight<'_>,
        piece: Bytes,
    ) -> Result<Bytes, TooLong> {
        let Some(held) = &mut self.held else {
            return Ok(self.pass(flight, piece, false));
        };
        if held.len() + piece.len() > MAX_HELD {
            return Err(TooLong);
        }
        held.extend_from_slice(&piece);
        Ok(Bytes::new())
    }

    /// The end of the body; what is to be sent last.
    pub(super) fn last(&mut self, flight: &mut Flight<'_>) -> Bytes {
        let held = self.held.take().map(BytesMut::freeze).unwrap_or_default();
        self.pass(flight, held, true)
    }

    fn pass(&self, flight: &mut Flight<'_>, mut piece: Bytes, last: bool) -> Bytes {
        if self.active {
            for at in 0..flight.plugins.len() {
                let plugin = flight.plugins[at];
                if plugin.phases().body_filter {
                    piece = plugin.body_filter(&mut flight.exchange, piece, last);
                }
            }
        }
        piece
    }
}
