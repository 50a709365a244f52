//! The request body on its way up, while other things are awaited.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::Either;
use http::HeaderName;

use super::request_body::{self, Passed};
use crate::downstream::{Upload, UploadFault};
use crate::net::Timer;
use crate::upstream::Call;

/// Sends the rest of a body as it comes from the client, and notes in `passed` what was taken of it.
/// Failures of the upstream are left for the reading side to find: it may have answered early.
/// That it takes nothing any more is told.
pub(super) async fn send_rest<U: Upload>(
    upload: &mut U,
    call: &Call,
    told: &[HeaderName],
    passed: &RefCell<Passed>,
    limit: Duration,
) -> Result<Sent, UploadFault> {
    let timer = Timer::default();
    loop {
        let piece = upload.next().await?;
        let last = piece.is_none();
        let written = match piece {
            Some(piece) => {
                passed.borrow_mut().piece(&piece);
                Either::Left(call.send(piece))
            }
            None => {
                let fields = request_body::fields_after(upload, told);
                passed.borrow_mut().end(fields.as_ref());
                Either::Right(call.end(fields))
            }
        };
        match timer.limit(limit, written).await {
            Ok(Ok(())) if last => return Ok(Sent::Whole),
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Ok(Sent::Partly),
            Err(_) => return Ok(Sent::Stalled),
        }
    }
}

/// How much of a request body reached the upstream.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    Whole,
    Partly,
    /// The upstream took nothing for too long.
    Stalled,
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

    /// Whether nothing is on its way any more.
    pub(super) fn is_still(&self) -> bool {
        self.running.is_none()
    }

    /// Whether the upstream took nothing for too long.
    pub(super) fn has_stalled(&self) -> bool {
        self.sent == Sent::Stalled
    }

    /// Awaits `other` while the body moves on; an error when the body cannot be read any more.
    pub(super) async fn alongside<T>(
        &mut self,
        other: impl Future<Output = T>,
    ) -> Result<T, UploadFault> {
        let mut other = pin!(other);
        poll_fn(|cx| {
            self.advance(cx)?;
            other.as_mut().poll(cx).map(Ok)
        })
        .await
    }

    /// Moves the body on until there is nothing left to move, or `other` is there before. Does not
    /// look at `other` when nothing moves.
    pub(super) async fn ahead_of<T>(
        &mut self,
        mut other: Pin<&mut impl Future<Output = T>>,
    ) -> Result<Option<T>, UploadFault> {
        if self.running.is_none() {
            return Ok(None);
        }
        poll_fn(|cx| {
            self.advance(cx)?;
            match other.as_mut().poll(cx) {
                Poll::Ready(done) => Poll::Ready(Ok(Some(done))),
                Poll::Pending if self.running.is_none() => Poll::Ready(Ok(None)),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    fn advance(&mut self, cx: &mut Context<'_>) -> Result<(), UploadFault> {
        if let Some(running) = &mut self.running
            && let Poll::Ready(result) = running.as_mut().poll(cx)
        {
            self.running = None;
            self.sent = result?;
        }
        Ok(())
    }
}
