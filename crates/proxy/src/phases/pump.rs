//! The request body on its way up, while other things are awaited.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;

use super::request_body::RequestBody;
use crate::downstream::{Upload, UploadFault};
use crate::http1::encode;
use crate::net::{Connection, Timer};

/// Sends the head and what was read of the body; the first piece together with the head.
pub(super) async fn send_ahead(
    connection: &Connection,
    head: &[u8],
    body: &RequestBody,
    chunked: bool,
) -> io::Result<()> {
    if chunked {
        connection.write(head, Bytes::new()).await?;
        for piece in &body.ahead {
            send_chunk(connection, piece.clone()).await?;
        }
        return Ok(());
    }
    let mut pieces = body.ahead.iter();
    let first = pieces.next().cloned().unwrap_or_default();
    connection.write(head, first).await?;
    for piece in pieces {
        connection.write(&[], piece.clone()).await?;
    }
    Ok(())
}

async fn send_chunk(connection: &Connection, piece: Bytes) -> io::Result<()> {
    if piece.is_empty() {
        return Ok(());
    }
    let mut size = Vec::with_capacity(16);
    encode::chunk_size(piece.len(), &mut size);
    connection
        .write(&size, bytes::Buf::chain(piece, &b"\r\n"[..]))
        .await
}

/// Sends the rest of a body as it comes from the client. Failures of the upstream are left for the
/// reading side to find: it may have answered early.
pub(super) async fn send_rest<U: Upload>(
    upload: &mut U,
    connection: &Connection,
    chunked: bool,
    limit: Duration,
) -> Result<Sent, UploadFault> {
    let timer = Timer::default();
    loop {
        let piece = upload.next().await?;
        let last = piece.is_none();
        let written = async {
            match piece {
                Some(piece) if chunked => send_chunk(connection, piece).await,
                Some(piece) => connection.write(&[], piece).await,
                None if chunked => connection.write(encode::LAST_CHUNK, Bytes::new()).await,
                None => Ok(()),
            }
        };
        match timer.limit(limit, written).await {
            Ok(Ok(())) if last => return Ok(Sent::Whole),
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return Ok(Sent::Partly),
        }
    }
}

/// How much of a request body reached the upstream.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    Whole,
    Partly,
}

pub(super) type PinnedPump<'p> = Pin<Box<dyn Future<Output = Result<Sent, UploadFault>> + 'p>>;

/// A request body on its way up.
pub(super) struct Pump<'p> {
    running: Option<PinnedPump<'p>>,
    sent: Sent,
}

impl<'p> Pump<'p> {
    pub(super) fn new(running: Option<PinnedPump<'p>>) -> Self {
        Self {
            sent: if running.is_some() {
                Sent::Partly
            } else {
                Sent::Whole
            },
            running,
        }
    }

    /// Whether the whole body was sent.
    pub(super) fn is_done(&self) -> bool {
        self.sent == Sent::Whole
    }

    /// Awaits `other` while the body moves on; an error when the body cannot be read any more.
    pub(super) async fn alongside<T>(
        &mut self,
        other: impl Future<Output = T>,
    ) -> Result<T, UploadFault> {
        let mut other = pin!(other);
        poll_fn(|cx| {
            if let Some(running) = &mut self.running
                && let Poll::Ready(result) = running.as_mut().poll(cx)
            {
                self.running = None;
                match result {
                    Ok(sent) => self.sent = sent,
                    Err(fault) => return Poll::Ready(Err(fault)),
                }
            }
            other.as_mut().poll(cx).map(Ok)
        })
        .await
    }
}
