//! The body of a request as it comes in.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap as Trailers;

use super::accept::expects_continue;
use crate::core::Core;
use crate::downstream::{Incoming, Upload, UploadFault};
use crate::http1::{BodyDecoder, Framing, Piece};
use crate::net::{Connection, Timer};

/// An unread body up to this length is read so that its connection can go on.
const SKIP_BYTES: usize = 256 * 1024;

/// The body of a request.
pub(super) struct RequestBody<'c> {
    connection: &'c Connection,
    decoder: BodyDecoder,
    timer: Timer,
    timeout: Duration,
    limit: Option<u64>,
    read: u64,
    /// The client waits to be told to send.
    expected: bool,
    done: bool,
}

impl<'c> RequestBody<'c> {
    pub(super) fn new(core: &Core, connection: &'c Connection, incoming: &Incoming) -> Self {
        let limits = &core.settings.client;
        Self {
            connection,
            decoder: BodyDecoder::new(incoming.framing),
            timer: Timer::default(),
            timeout: limits.body_timeout,
            limit: limits.body,
            read: 0,
            expected: expects_continue(incoming),
            done: incoming.framing == Framing::Empty,
        }
    }

    /// Whether nothing of the body is left to be read.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// Reads past what nobody wanted of the body; `false` when that is too much, or not even on
    /// its way.
    pub(super) async fn skip_rest(&mut self) -> bool {
        let mut skipped = 0;
        while !self.done && !self.expected && skipped < SKIP_BYTES {
            match self.next().await {
                Ok(Some(piece)) => skipped += piece.len(),
                Ok(None) => {}
                Err(_) => return false,
            }
        }
        self.done
    }
}

impl Upload for RequestBody<'_> {
    async fn invite(&mut self) -> Result<(), UploadFault> {
        if std::mem::take(&mut self.expected) {
            self.connection
                .write(b"HTTP/1.1 100 Continue\r\n\r\n", Bytes::new())
                .await
                .map_err(|_| UploadFault::Gone)?;
        }
        Ok(())
    }

    async fn next(&mut self) -> Result<Option<Bytes>, UploadFault> {
        self.invite().await?;
        loop {
            let piece = self.decoder.decode(&mut self.connection.input())?;
            match piece {
                Piece::Data(piece) => {
                    self.read += piece.len() as u64;
                    if self.limit.is_some_and(|limit| self.read > limit) {
                        return Err(UploadFault::TooLong);
                    }
                    return Ok(Some(piece));
                }
                Piece::End => {
                    self.done = true;
                    return Ok(None);
                }
                Piece::More => {}
            }
            let read = self.timer.limit(self.timeout, self.connection.fill_long());
            match read.await {
                Err(_) => return Err(UploadFault::Timeout),
                Ok(Ok(0) | Err(_)) => return Err(UploadFault::Gone),
                Ok(Ok(_)) => {}
            }
        }
    }

    fn received(&self) -> u64 {
        self.read
    }

    fn trailers(&mut self) -> Option<Trailers> {
        self.decoder.trailers()
    }
}
