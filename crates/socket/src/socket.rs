//! An established TCP connection.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::coop::poll_proceed;

use crate::kernel::receive_now;
use crate::ring::{Ring, State};
use crate::slot::Slot;

/// What is at least as long goes to the kernel at once: to copy it would cost more than a call.
const LONG: usize = 16 * 1024;
/// Bytes that wait to be handed to the kernel, before nothing more is taken.
const WRITTEN: usize = 64 * 1024;
/// How long a peer may take nothing of what was written before its connection was left.
const LAST: Duration = Duration::from_secs(30);

/// An established TCP connection of this thread.
///
/// As with a socket of the system, what was written is sent also when the connection is dropped, and an
/// error of sending may show only with a later call. [`AsyncWrite::poll_shutdown`] waits until everything
/// is the kernel's.
#[derive(Debug)]
pub struct Socket(Inner);

#[derive(Debug)]
enum Inner {
    Epoll(TcpStream),
    Ring(OnRing),
}

#[derive(Debug)]
struct OnRing {
    ring: Ring,
    key: usize,
}

impl From<TcpStream> for Socket {
    /// On epoll.
    fn from(stream: TcpStream) -> Self {
        Self(Inner::Epoll(stream))
    }
}

impl Socket {
    pub(crate) fn on_ring(ring: Ring, fd: OwnedFd) -> Self {
        let key = ring.state().slots.insert(Slot::new(fd));
        Self(Inner::Ring(OnRing { ring, key }))
    }

    /// Whether nothing has come, not even the peer's end. Costs next to nothing.
    pub fn is_quiet(&self) -> bool {
        match &self.0 {
            Inner::Epoll(stream) => stream
                .try_read(&mut [0])
                .is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock),
            Inner::Ring(socket) => socket.ring.state().slots[socket.key].is_quiet(),
        }
    }

    /// Ready when there is something to read, or the peer's end.
    ///
    /// # Errors
    /// When the runtime ends.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.0 {
            Inner::Epoll(stream) => stream.poll_read_ready(cx),
            Inner::Ring(socket) => {
                let state = &mut *socket.ring.state();
                if !state.slots[socket.key].is_quiet() {
                    return Poll::Ready(Ok(()));
                }
                socket.await_input(state, cx);
                Poll::Pending
            }
        }
    }

    /// Makes the end of the connection an error for the peer.
    ///
    /// # Errors
    /// When the peer is gone.
    pub fn set_zero_linger(&self) -> io::Result<()> {
        match &self.0 {
            Inner::Epoll(stream) => stream.set_zero_linger(),
            Inner::Ring(socket) => {
                let slot = &mut socket.ring.state().slots[socket.key];
                slot.aborts = true;
                SockRef::from(&slot.fd).set_linger(Some(Duration::ZERO))
            }
        }
    }
}

impl Slot {
    fn is_quiet(&self) -> bool {
        self.received.is_empty()
            && self.end.is_none()
            && (self.receives
                || rustix::net::recv(
                    &self.fd,
                    &mut [0][..],
                    RecvFlags::PEEK | RecvFlags::DONTWAIT,
                )
                .is_err_and(|error| error == Errno::AGAIN))
    }

    /// Sends what was written and is not the kernel's, as far as there is room.
    fn send_now(&mut self) {
        if self.sends || self.written.is_empty() {
            return;
        }
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        match rustix::net::send(&self.fd, &self.written, flags) {
            Ok(sent) => {
                self.written.drain(..sent);
            }
            Err(Errno::AGAIN | Errno::INTR) => return,
            Err(error) => self.fail(error),
        }
        // No completion will wake it.
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }
}

fn keep(place: &mut Option<Waker>, cx: &Context<'_>) {
    match place {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *place = Some(cx.waker().clone()),
    }
}

impl OnRing {
    fn await_input(&self, state: &mut State, cx: &Context<'_>) {
        let slot = &mut state.slots[self.key];
        keep(&mut slot.reader, cx);
        if !slot.receives {
            state.list(self.key);
        }
    }

    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // A peer that sends without end must not keep the thread from all else.
        let turn = ready!(poll_proceed(cx));
        let state = &mut *self.ring.state();
        let State { slots, kernel, .. } = state;
        let slot = &mut slots[self.key];
        let room = buf.remaining();
        while buf.remaining() > 0
            && let Some(piece) = slot.received.front_mut()
        {
            let bytes = kernel.bytes(piece);
            let taken = bytes.len().min(buf.remaining());
            buf.put_slice(&bytes[..taken]);
            piece.advance(taken);
            if piece.len() == 0
                && let Some(piece) = slot.received.pop_front()
            {
                kernel.give_back(piece);
            }
        }
        if buf.remaining() < room || room == 0 {
            turn.made_progress();
            return Poll::Ready(Ok(()));
        }
        if slot.end.is_none() && !slot.receives {
            // While the kernel does not receive by itself, what comes is in order here.
            // Whoever reads in a row waits for no turn in which the answer would go.
            slot.send_now();
            match receive_now(slot.fd.as_fd(), buf) {
                Ok(0) => slot.end = Some(Ok(())),
                Ok(_) => {
                    turn.made_progress();
                    return Poll::Ready(Ok(()));
                }
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => slot.end = Some(Err(error)),
            }
        }
        if let Some(end) = slot.end {
            return Poll::Ready(end.map_err(io::Error::from));
        }
        self.await_input(state, cx);
        Poll::Pending
    }

    fn poll_write(&self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let turn = ready!(poll_proceed(cx));
        let state = &mut *self.ring.state();
        let State { slots, spare, .. } = state;
        let slot = &mut slots[self.key];
        if let Some(error) = slot.broken {
            return Poll::Ready(Err(error.into()));
        }
        let length: usize = bufs.iter().map(|buf| buf.len()).sum();
        if length >= LONG && slot.is_sent() {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            let nothing = &mut SendAncillaryBuffer::default();
            match rustix::net::sendmsg(&slot.fd, bufs, nothing, flags) {
                Ok(sent) => {
                    turn.made_progress();
                    return Poll::Ready(Ok(sent));
                }
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
        let mut room = WRITTEN.saturating_sub(slot.written.len());
        if room == 0 {
            keep(&mut slot.writer, cx);
            return Poll::Pending;
        }
        if slot.written.capacity() == 0 {
            slot.written = spare.pop().unwrap_or_default();
        }
        let before = slot.written.len();
        for buf in bufs {
            let taken = buf.len().min(room);
            slot.written.extend_from_slice(&buf[..taken]);
            room -= taken;
        }
        let taken = slot.written.len() - before;
        turn.made_progress();
        // What is in the kernel's hands is followed by this without being asked.
        if taken > 0 && !slot.sends {
            state.list(self.key);
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let slot = &mut self.ring.state().slots[self.key];
        if let Some(error) = slot.broken {
            return Poll::Ready(Err(error.into()));
        }
        if !slot.is_sent() {
            keep(&mut slot.writer, cx);
            return Poll::Pending;
        }
        Poll::Ready(match rustix::net::shutdown(&slot.fd, Shutdown::Write) {
            // The peer was faster.
            Ok(()) | Err(Errno::NOTCONN) => Ok(()),
            Err(error) => Err(error.into()),
        })
    }
}

impl Drop for OnRing {
    fn drop(&mut self) {
        let state = &mut *self.ring.state();
        let State { slots, kernel, .. } = state;
        let slot = &mut slots[self.key];
        slot.is_left = true;
        for piece in slot.received.drain(..) {
            kernel.give_back(piece);
        }
        (slot.reader, slot.writer) = (None, None);
        if !slot.is_sent() {
            // Else a peer that takes nothing would hold it for good. Fails when the peer is gone.
            let limit = u32::try_from(LAST.as_millis()).unwrap_or(u32::MAX);
            let _ = rustix::net::sockopt::set_tcp_user_timeout(&slot.fd, limit);
        }
        if slot.is_over() && !slot.is_listed {
            slots.remove(self.key);
        } else {
            state.list(self.key);
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Inner::Epoll(stream) => Pin::new(stream).poll_read(cx, buf),
            Inner::Ring(socket) => socket.poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().0 {
            Inner::Epoll(stream) => Pin::new(stream).poll_write(cx, buf),
            Inner::Ring(socket) => socket.poll_write(cx, &[IoSlice::new(buf)]),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().0 {
            Inner::Epoll(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Inner::Ring(socket) => socket.poll_write(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Nothing is held back.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Inner::Epoll(stream) => Pin::new(stream).poll_shutdown(cx),
            Inner::Ring(socket) => socket.poll_shutdown(cx),
        }
    }
}
