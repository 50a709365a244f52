//! A connection whose two directions are used at once by one task.

use std::cell::{RefCell, RefMut};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::AsyncWrite;

use super::Stream;

/// Room made for a read while a head is awaited, and while a body streams.
const HEAD_ROOM: usize = 8 * 1024;
const BODY_ROOM: usize = 64 * 1024;

/// A connection and the bytes read from it that nobody has taken yet.
///
/// Reading and writing borrow the stream for the length of one poll only, so that a task can
/// await both directions at once without a lock.
pub(crate) struct Connection {
    stream: RefCell<Stream>,
    input: RefCell<BytesMut>,
}

impl Connection {
    pub(crate) fn new(stream: Stream) -> Self {
        Self {
            stream: RefCell::new(stream),
            input: RefCell::new(BytesMut::new()),
        }
    }

    /// The bytes that were read and not taken yet.
    pub(crate) fn input(&self) -> RefMut<'_, BytesMut> {
        self.input.borrow_mut()
    }

    /// Reads more; 0 when the peer has closed.
    pub(crate) async fn fill(&self) -> io::Result<usize> {
        poll_fn(|cx| self.poll_fill(HEAD_ROOM, cx)).await
    }

    /// Reads more of a long body; 0 when the peer has closed.
    pub(crate) async fn fill_long(&self) -> io::Result<usize> {
        poll_fn(|cx| self.poll_fill(BODY_ROOM, cx)).await
    }

    pub(crate) fn poll_fill(&self, room: usize, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut input = self.input.borrow_mut();
        let mut stream = self.stream.borrow_mut();
        let free = input.capacity() - input.len();
        // An empty buffer that nobody else holds any more is taken from its start again.
        if free < room / 4 || input.is_empty() && free < room {
            input.reserve(room);
        }
        tokio_util::io::poll_read_buf(Pin::new(&mut *stream), cx, &mut *input)
    }

    /// Gives back the room for long bodies: idle connections are many.
    pub(crate) fn rest(&self) {
        let mut input = self.input.borrow_mut();
        if input.is_empty() && input.try_reclaim(2 * HEAD_ROOM) {
            *input = BytesMut::new();
        }
    }

    /// Whether the peer has closed, or sent something unasked, while the connection was idle.
    pub(crate) fn is_stale(&self) -> bool {
        if !self.input.borrow().is_empty() {
            return true;
        }
        if let Stream::Tcp(stream) = &*self.stream.borrow() {
            // Costs next to nothing while nothing has come, which a poll does not.
            return !stream.is_quiet();
        }
        let mut cx = Context::from_waker(std::task::Waker::noop());
        self.poll_fill(1, &mut cx).is_ready()
    }

    /// Ready when the peer has closed; what it sends until then stays in the input.
    pub(crate) fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            // A peer that sends ahead is not watched further; it may not fill the memory.
            if self.input.borrow().len() > BODY_ROOM {
                return Poll::Pending;
            }
            // In most cases nothing comes. What was decrypted already does not tell that the peer is gone.
            if ready!(self.stream.borrow().tcp().poll_read_ready(cx)).is_err() {
                return Poll::Ready(());
            }
            match ready!(self.poll_fill(1, cx)) {
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(_) => {}
            }
        }
    }

    /// Writes `first` and then `second` of one or two parts, together where the system can.
    pub(crate) async fn write(&self, mut first: &[u8], mut second: impl Buf) -> io::Result<()> {
        poll_fn(|cx| {
            while !first.is_empty() || second.has_remaining() {
                let mut stream = self.stream.borrow_mut();
                let stream = Pin::new(&mut *stream);
                let mut slices = [first, &[], &[]].map(IoSlice::new);
                let from = usize::from(!first.is_empty());
                let filled = from + second.chunks_vectored(&mut slices[from..]);
                let written = ready!(match &slices[..filled] {
                    [only] => stream.poll_write(cx, only),
                    several => stream.poll_write_vectored(cx, several),
                })?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                let of_first = written.min(first.len());
                first = &first[of_first..];
                second.advance(written - of_first);
            }
            // Encrypted streams may hold records back.
            Pin::new(&mut *self.stream.borrow_mut()).poll_flush(cx)
        })
        .await
    }

    /// Makes the end of the connection an error for the peer.
    pub(crate) fn reset(&self) {
        // Fails when the peer is gone.
        let _ = self.stream.borrow().tcp().set_zero_linger();
    }

    /// Tells the peer that nothing more will be written.
    pub(crate) async fn shutdown(&self) -> io::Result<()> {
        poll_fn(|cx| Pin::new(&mut *self.stream.borrow_mut()).poll_shutdown(cx)).await
    }
}
