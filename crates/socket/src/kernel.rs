//! The one place that shares memory with the kernel.
//!
//! Two kinds of memory are shared. *Buffers* are filled by the kernel when something has come: an array
//! that lives as long as the [`Kernel`], of which each buffer is either published (the kernel may write
//! to it), spare, or held as a [`Piece`]. *Messages* are read by the kernel while it sends them: vectors
//! that are kept here, untouched, until the kernel has said that it is done.
#![allow(
    unsafe_code,
    reason = "io_uring is memory shared with the kernel; each block says why it holds"
)]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering, fence};
use std::time::Duration;

use io_uring::types::{BufRingEntry, CancelBuilder, Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use slab::Slab;
use tokio::io::unix::AsyncFd;
use tokio::io::{Interest, ReadBuf};

/// Calls that go to the kernel together; when there are more, they go earlier.
const CALLS: u32 = 256;
/// Buffers at most, a power of two.
const BUFFERS: u16 = 128;
/// Bytes of a buffer.
const BUFFER: usize = 16 * 1024;
/// Buffers that the kernel has at first. Few are better: they stay in the processor's cache.
const AT_FIRST: u16 = 32;
/// The group of the buffers; there is only one.
const GROUP: u16 = 0;
/// Alignment of what is mapped by pages. Linux has no smaller page.
const PAGE: usize = 4096;
/// How long a kernel that is dropped waits for what is under way.
const LAST: Duration = Duration::from_secs(1);

/// What the kernel did for a connection.
pub(crate) enum Done {
    /// Received something, or nothing more to come.
    Received {
        result: Result<Option<Piece>, Errno>,
        /// Whether it goes on receiving.
        goes_on: bool,
    },
    /// Sent so many bytes of a message, and gives it back.
    Sent {
        result: Result<usize, Errno>,
        message: Vec<u8>,
    },
    /// Looked for what was to be cancelled.
    Cancelled,
}

/// What was asked for, in the lowest bits of what comes back.
#[derive(Clone, Copy)]
enum Call {
    Receive = 0,
    Send = 1,
    Cancel = 2,
}

/// A buffer that the kernel has filled, as far as it was not taken yet. It belongs to the kernel that
/// made it.
pub(crate) struct Piece {
    buffer: u16,
    from: u16,
    to: u16,
}

impl Piece {
    pub(crate) fn len(&self) -> usize {
        usize::from(self.to - self.from)
    }

    /// Forgets the first bytes.
    pub(crate) fn advance(&mut self, by: usize) {
        self.from += u16::try_from(by.min(self.len())).unwrap_or(0);
    }
}

/// An io_uring of this thread.
pub(crate) struct Kernel {
    ring: IoUring,
    /// Written by the kernel when something was done, if it is asked to.
    event: OwnedFd,
    /// The list of published buffers.
    list: Shared<BufRingEntry>,
    /// The buffers.
    memory: Shared<[u8; BUFFER]>,
    /// The end of the list, counted on and on.
    tail: u16,
    published: u16,
    /// How many are to be published.
    wanted: u16,
    /// The last one given back is taken first.
    spare: Vec<u16>,
    /// What is being sent.
    messages: Slab<Vec<u8>>,
    /// Calls that will be answered once more at least.
    under_way: usize,
}

/// Pages that the kernel may write to.
struct Shared<T> {
    start: NonNull<T>,
    layout: Layout,
}

impl<T> Shared<T> {
    fn new(count: u16) -> Self {
        let layout = Layout::array::<T>(usize::from(count))
            .and_then(|layout| layout.align_to(PAGE))
            .expect("some megabytes are a size");
        // SAFETY: the layout has a size.
        let start = unsafe { alloc_zeroed(layout) };
        match NonNull::new(start.cast()) {
            Some(start) => Self { start, layout },
            None => handle_alloc_error(layout),
        }
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout. The kernel has let go of it: see `Kernel::drop`.
        unsafe { dealloc(self.start.as_ptr().cast(), self.layout) };
    }
}

impl Kernel {
    pub(crate) fn new() -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_cqsize(4 * CALLS)
            .build(CALLS)?;
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let mut this = Self {
            ring,
            event,
            list: Shared::new(BUFFERS),
            memory: Shared::new(BUFFERS),
            tail: 0,
            published: 0,
            wanted: AT_FIRST,
            spare: (0..BUFFERS).rev().collect(),
            messages: Slab::new(),
            under_way: 0,
        };
        // Saves a look-up per call; what does not know it does without.
        let _ = this.ring.submitter().register_ring_fd();
        this.ring
            .submitter()
            .register_eventfd(this.event.as_raw_fd())?;
        this.silence();
        // SAFETY: the list has room for so many entries, begins a page, and is freed only when the ring
        // is closed, or never.
        unsafe {
            this.ring.submitter().register_buf_ring_with_flags(
                this.list.start.as_ptr() as u64,
                BUFFERS,
                GROUP,
                0,
            )?;
        }
        this.publish();
        // A filter may allow the set-up and forbid the rest.
        this.push(opcode::Nop::new().build().user_data(tag(0, Call::Cancel)));
        this.enter(Some(LAST))?;
        while this.collect(|_, _, _| {}) {}
        if this.under_way > 0 {
            return Err(io::ErrorKind::Unsupported.into());
        }
        Ok(this)
    }

    /// What becomes readable when something was done, while it is asked for.
    pub(crate) fn event(&self) -> io::Result<AsyncFd<OwnedFd>> {
        let event = self.event.try_clone()?;
        // SAFETY: the descriptor is owned by what is returned, which nobody can take it out of
        // without ending the registration.
        unsafe { AsyncFd::register_with_interest(event, Interest::READABLE) }
            .map_err(io::Error::from)
    }

    /// Asks for the event. What was done before is not told: the caller looks once more.
    pub(crate) fn ask(&mut self) {
        self.ring.completion().enable_eventfd();
        // The kernel marks what there is to do, then looks whether it is asked; here it is the reverse.
        fence(Ordering::SeqCst);
    }

    /// Asks for no event.
    pub(crate) fn silence(&mut self) {
        self.ring.completion().disable_eventfd();
    }

    /// Whether there is nothing to submit and nothing to collect.
    pub(crate) fn is_idle(&mut self) -> bool {
        let calls = self.ring.submission();
        let idle = calls.is_empty() && !calls.taskrun() && !calls.cq_overflow();
        drop(calls);
        idle && self.ring.completion().is_empty()
    }

    /// Receives from a connection into the buffers until it is cancelled or told otherwise.
    pub(crate) fn receive(&mut self, key: usize, fd: BorrowedFd<'_>) {
        let call = opcode::RecvMulti::new(Fd(fd.as_raw_fd()), GROUP).build();
        self.push(call.user_data(tag(key, Call::Receive)));
    }

    /// Sends the whole of a message.
    pub(crate) fn send(&mut self, key: usize, fd: BorrowedFd<'_>, message: Vec<u8>) {
        let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
        let place = self.messages.insert(message);
        let flags = SendFlags::NOSIGNAL.bits() as i32 | WAIT_FOR_ALL;
        let start = self.messages[place].as_ptr();
        let call = opcode::Send::new(Fd(fd.as_raw_fd()), start, length)
            .flags(flags)
            .build();
        self.push(call.user_data(tag(key, Call::Send) | (place as u64) << 32));
    }

    /// Ends the receiving from a connection.
    pub(crate) fn stop_receiving(&mut self, key: usize) {
        let call = opcode::AsyncCancel::new(tag(key, Call::Receive)).build();
        self.push(call.user_data(tag(key, Call::Cancel)));
    }

    /// Ends whatever is under way for a connection.
    pub(crate) fn stop(&mut self, fd: BorrowedFd<'_>) {
        let of_connection = CancelBuilder::fd(Fd(fd.as_raw_fd())).all();
        let call = opcode::AsyncCancel2::new(of_connection).build();
        self.push(call.user_data(tag(0, Call::Cancel)));
    }

    fn push(&mut self, call: squeue::Entry) {
        self.under_way += 1;
        loop {
            // SAFETY: what a call points to outlives it: messages stay in `messages` until they come
            // back, and are leaked rather than freed before. Descriptors are no memory; they are open
            // as long as their slot is, which is until the last call for it has been answered.
            if unsafe { self.ring.submission().push(&call) }.is_ok() {
                return;
            }
            // No room: those before go now. Were that to fail for good, so would the next `enter`.
            if self.ring.submit().is_err() {
                std::thread::yield_now();
            }
        }
    }

    /// Submits what was pushed and lets the kernel do what is due; waits for something to be done where
    /// a limit is given.
    pub(crate) fn enter(&mut self, wait: Option<Duration>) -> io::Result<()> {
        self.publish();
        let count = u32::try_from(self.ring.submission().len()).unwrap_or(u32::MAX);
        let submitter = self.ring.submitter();
        let entered = match wait {
            None => {
                // SAFETY: no argument is passed.
                unsafe { submitter.enter::<()>(count, 0, GET_EVENTS, None) }
            }
            Some(limit) => {
                let limit = Timespec::from(limit);
                submitter.submit_with_args(1, &SubmitArgs::new().timespec(&limit))
            }
        };
        match entered.map_err(|error| Errno::from_io_error(&error)) {
            Ok(_)
            // The next turn does what was left.
            | Err(Some(Errno::INTR | Errno::AGAIN | Errno::BUSY | Errno::TIME)) => Ok(()),
            Err(error) => Err(error.unwrap_or(Errno::IO).into()),
        }
    }

    /// Gives some of what was done to `each`, with the connection's key; whether there may be more.
    pub(crate) fn collect(&mut self, mut each: impl FnMut(&mut Self, usize, Done)) -> bool {
        let mut room = [const { MaybeUninit::<cqueue::Entry>::uninit() }; 64];
        let mut queue = self.ring.completion();
        let entries = queue.fill(&mut room);
        drop(queue);
        for entry in &*entries {
            if !cqueue::more(entry.flags()) {
                self.under_way -= 1;
            }
            let (key, done) = self.done(entry);
            each(self, key, done);
        }
        !entries.is_empty()
    }

    fn done(&mut self, entry: &cqueue::Entry) -> (usize, Done) {
        let data = entry.user_data();
        let key = (data as u32 >> 2) as usize;
        let result = match entry.result() {
            count @ 0.. => Ok(count as usize),
            error => Err(Errno::from_raw_os_error(-error)),
        };
        let done = match data & 3 {
            0 => {
                let goes_on = cqueue::more(entry.flags());
                let result = match (result, cqueue::buffer_select(entry.flags())) {
                    (Ok(count), Some(buffer)) => {
                        self.published -= 1;
                        let to = u16::try_from(count.min(BUFFER)).unwrap_or(0);
                        let piece = Piece {
                            buffer,
                            from: 0,
                            to,
                        };
                        if to > 0 {
                            Ok(Some(piece))
                        } else {
                            self.give_back(piece);
                            Ok(None)
                        }
                    }
                    (Ok(_), None) => Ok(None),
                    (Err(error), buffer) => {
                        if let Some(buffer) = buffer {
                            self.published -= 1;
                            self.spare.push(buffer);
                        }
                        if error == Errno::NOBUFS {
                            self.wanted = BUFFERS.min(2 * self.wanted);
                        }
                        Err(error)
                    }
                };
                Done::Received { result, goes_on }
            }
            1 => Done::Sent {
                result,
                message: self.messages.remove((data >> 32) as usize),
            },
            _ => Done::Cancelled,
        };
        (key, done)
    }

    /// What a piece holds.
    pub(crate) fn bytes(&self, piece: &Piece) -> &[u8] {
        assert!(
            piece.buffer < BUFFERS,
            "the kernel names buffers that it was given"
        );
        // SAFETY: the buffer lies within the memory, which lives as long as this kernel, and was
        // zeroed when it was made. The kernel does not write to it: it is published again only after
        // `give_back` has taken the piece, of which there is one.
        unsafe {
            let buffer = self.memory.start.add(usize::from(piece.buffer)).as_ref();
            &buffer[usize::from(piece.from)..usize::from(piece.to)]
        }
    }

    /// Lets the buffer be used again.
    pub(crate) fn give_back(&mut self, piece: Piece) {
        self.spare.push(piece.buffer);
    }

    fn publish(&mut self) {
        let before = self.tail;
        while self.published < self.wanted
            && let Some(buffer) = self.spare.pop()
        {
            let place = usize::from(self.tail % BUFFERS);
            // SAFETY: the place lies within the list, and the buffer within the memory. The kernel
            // reads only entries before the tail, which is moved below; and the end of the first entry,
            // which is the tail, is not touched by these three.
            unsafe {
                let start = self.memory.start.add(usize::from(buffer));
                let entry = self.list.start.add(place).as_mut();
                entry.set_addr(start.as_ptr() as u64);
                entry.set_len(BUFFER as u32);
                entry.set_bid(buffer);
            }
            self.tail = self.tail.wrapping_add(1);
            self.published += 1;
        }
        if self.tail != before {
            // SAFETY: the list is there, its tail is aligned, and this thread alone writes it.
            let tail = unsafe {
                AtomicU16::from_ptr(BufRingEntry::tail(self.list.start.as_ptr()).cast_mut())
            };
            tail.store(self.tail, Ordering::Release);
        }
    }
}

/// Receives what is there, without a ring.
pub(crate) fn receive_now(fd: BorrowedFd<'_>, buf: &mut ReadBuf<'_>) -> Result<usize, Errno> {
    // SAFETY: nothing that is initialized is made uninitialized: the kernel only writes to it.
    let room = unsafe { buf.unfilled_mut() };
    let ((filled, _), count) = rustix::net::recv(fd, room, RecvFlags::DONTWAIT)?;
    let count = count.min(filled.len());
    // SAFETY: the kernel has written so many bytes.
    unsafe { buf.assume_init(count) };
    buf.advance(count);
    Ok(count)
}

/// `MSG_WAITALL`: the kernel goes on with a message that it could send a part of.
const WAIT_FOR_ALL: i32 = 0x100;
/// `IORING_ENTER_GETEVENTS`
const GET_EVENTS: u32 = 1;

fn tag(key: usize, call: Call) -> u64 {
    (key as u64) << 2 | call as u64
}

impl Drop for Kernel {
    fn drop(&mut self) {
        // The ring is closed after this and before the memory is freed: fields are dropped in order.
        if self.under_way > 0 {
            let everything = CancelBuilder::any().all();
            let call = opcode::AsyncCancel2::new(everything).build();
            self.push(call.user_data(tag(0, Call::Cancel)));
        }
        let mut turns = 0;
        while self.under_way > 0 && turns < 100 && self.enter(Some(LAST / 100)).is_ok() {
            while self.collect(|_, _, _| {}) {}
            turns += 1;
        }
        if self.under_way > 0 {
            // The kernel may still read and write them. Nothing like it has been seen.
            let _ = ManuallyDrop::new(std::mem::take(&mut self.messages));
            let _ = ManuallyDrop::new(std::mem::replace(&mut self.list, Shared::new(1)));
            let _ = ManuallyDrop::new(std::mem::replace(&mut self.memory, Shared::new(1)));
        }
    }
}
