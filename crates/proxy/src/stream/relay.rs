//! Bytes both ways, until both sides have closed.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep_until};

use super::Streams;
use super::account::Account;

/// How long a session may wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// While neither side sends anything.
    pub(super) read: Duration,
    /// While a side does not take what is there for it.
    pub(super) write: Duration,
}

/// How a session ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cut {
    /// Nothing moved for too long.
    #[error("nothing moved for too long")]
    Idle,
    /// A connection broke.
    #[error("the connection to the {0} broke: {1}")]
    Broken(&'static str, io::Error),
}

/// Carries bytes both ways. A side that has said everything may still listen: its end is passed on,
/// and the session ends with the other's.
///
/// `ahead` was read from the client before.
pub(super) async fn run<C, S>(
    streams: &Streams,
    account: &Account,
    client: &mut C,
    service: &mut S,
    ahead: &[u8],
    patience: Patience,
) -> Result<(), Cut>
where
    C: AsyncRead + AsyncWrite + Unpin,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut up = Direction::new(ahead);
    let mut down = Direction::new(&[]);
    account.add_received(ahead.len());
    let mut moved_at = Instant::now();
    let mut sleep = pin!(sleep_until(moved_at + patience.read));
    poll_fn(|cx| {
        let mut moved = false;
        let mut scratch = streams.scratch.borrow_mut();
        let upward = up.poll(client, service, &mut scratch, &mut moved, cx);
        let downward = down.poll(service, client, &mut scratch, &mut moved, cx);
        drop(scratch);
        account.add_received(std::mem::take(&mut up.read));
        account.add_sent(std::mem::take(&mut down.written));
        account.add_upstream(
            std::mem::take(&mut down.read),
            std::mem::take(&mut up.written),
        );
        match (upward, downward) {
            (Poll::Ready(Err(fault)), _) => {
                return Poll::Ready(Err(fault.between("client", "service")));
            }
            (_, Poll::Ready(Err(fault))) => {
                return Poll::Ready(Err(fault.between("service", "client")));
            }
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(Ok(())),
            _ => {}
        }
        if moved {
            moved_at = Instant::now();
        }
        let blocked = up.is_blocked() || down.is_blocked();
        let deadline = moved_at
            + match blocked {
                true => patience.write,
                false => patience.read,
            };
        // Armed again only when it fires, or must fire earlier: bytes that move cost no timer.
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(Err(Cut::Idle));
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    })
    .await
}

/// A side that failed.
#[derive(Debug)]
enum Fault {
    Reading(io::Error),
    Writing(io::Error),
}

impl Fault {
    fn between(self, from: &'static str, to: &'static str) -> Cut {
        match self {
            Self::Reading(error) => Cut::Broken(from, error),
            Self::Writing(error) => Cut::Broken(to, error),
        }
    }
}

/// Bytes one way.
struct Direction {
    /// Read and not yet written: at most one read's worth, and nothing while the receiver keeps up.
    waiting: BytesMut,
    /// Whether written bytes may be held back by encryption.
    unflushed: bool,
    end: End,
    /// Bytes since they were taken last.
    read: usize,
    written: usize,
}

/// How far the end of a direction has come.
enum End {
    /// The sender has not closed.
    Open,
    /// The sender has closed; what it sent goes out first.
    Seen,
    /// The sender's connection broke; what it sent goes out first.
    Broken(Option<io::Error>),
    /// The receiver was told.
    Told,
}

impl Direction {
    fn new(ahead: &[u8]) -> Self {
        Self {
            waiting: BytesMut::from(ahead),
            unflushed: false,
            end: End::Open,
            read: 0,
            written: 0,
        }
    }

    fn is_blocked(&self) -> bool {
        !self.waiting.is_empty() || self.unflushed
    }

    fn poll(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        scratch: &mut [u8],
        moved: &mut bool,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Fault>> {
        loop {
            while !self.waiting.is_empty() {
                let written = ready!(Pin::new(&mut *to).poll_write(cx, &self.waiting));
                let written = written.and_then(some).map_err(Fault::Writing)?;
                self.waiting.advance(written);
                self.wrote(written, moved);
            }
            if self.unflushed {
                ready!(Pin::new(&mut *to).poll_flush(cx)).map_err(Fault::Writing)?;
                self.unflushed = false;
            }
            match &mut self.end {
                End::Open => {}
                End::Seen => {
                    // A receiver that is gone already has closed as well.
                    let _ = ready!(Pin::new(&mut *to).poll_shutdown(cx));
                    self.end = End::Told;
                    *moved = true;
                    return Poll::Ready(Ok(()));
                }
                End::Broken(error) => {
                    let error = error.take();
                    return Poll::Ready(match error {
                        Some(error) => Err(Fault::Reading(error)),
                        None => Ok(()),
                    });
                }
                End::Told => return Poll::Ready(Ok(())),
            }
            // Memory of a receiver that was slow once is given back.
            if self.waiting.capacity() > 0 {
                self.waiting = BytesMut::new();
            }
            let mut buffer = ReadBuf::new(scratch);
            match ready!(Pin::new(&mut *from).poll_read(cx, &mut buffer)) {
                Ok(()) if buffer.filled().is_empty() => self.end = End::Seen,
                Ok(()) => {
                    *moved = true;
                    self.read += buffer.filled().len();
                    self.pass(buffer.filled(), to, moved, cx)?;
                }
                // Many peers close without a last word of TLS.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    self.end = End::Seen;
                }
                Err(error) => self.end = End::Broken(Some(error)),
            }
        }
    }

    /// Writes what the receiver takes at once, and keeps the rest.
    fn pass(
        &mut self,
        mut bytes: &[u8],
        to: &mut (impl AsyncWrite + Unpin),
        moved: &mut bool,
        cx: &mut Context<'_>,
    ) -> Result<(), Fault> {
        while !bytes.is_empty() {
            match Pin::new(&mut *to).poll_write(cx, bytes) {
                Poll::Ready(written) => {
                    let written = written.and_then(some).map_err(Fault::Writing)?;
                    bytes = &bytes[written..];
                    self.wrote(written, moved);
                }
                Poll::Pending => {
                    self.waiting.extend_from_slice(bytes);
                    break;
                }
            }
        }
        Ok(())
    }

    fn wrote(&mut self, written: usize, moved: &mut bool) {
        self.written += written;
        self.unflushed = true;
        *moved = true;
    }
}

/// A receiver that takes nothing at all is broken.
fn some(written: usize) -> io::Result<usize> {
    match written {
        0 => Err(io::ErrorKind::WriteZero.into()),
        written => Ok(written),
    }
}
