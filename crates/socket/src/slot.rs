//! What is under way for one connection.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::task::Waker;

use rustix::io::Errno;

use crate::kernel::{Done, Kernel, Piece};

/// Pieces that wait to be read, before nothing more is received.
pub(crate) const PIECES: usize = 4;
/// Messages of this size and above are given back to the system, in bytes.
const LARGE: usize = 64 * 1024;

/// One connection.
pub(crate) struct Slot {
    pub(crate) fd: OwnedFd,
    /// What has come and was not read.
    pub(crate) received: VecDeque<Piece>,
    /// Why nothing more comes: the peer's end where there is no error.
    pub(crate) end: Option<Result<(), Errno>>,
    pub(crate) reader: Option<Waker>,
    /// Whether the kernel receives.
    pub(crate) receives: bool,
    /// Whether it was told to stop.
    pub(crate) stops: bool,
    /// What was written and not handed to the kernel.
    pub(crate) written: Vec<u8>,
    /// Whether it is among those that have something for the kernel.
    pub(crate) is_listed: bool,
    /// Whether the kernel sends.
    pub(crate) sends: bool,
    /// Why nothing more can be written.
    pub(crate) broken: Option<Errno>,
    pub(crate) writer: Option<Waker>,
    /// Whether the owner has let go of it.
    pub(crate) is_left: bool,
    /// Whether it ends without what was written.
    pub(crate) aborts: bool,
}

impl Slot {
    pub(crate) fn new(fd: OwnedFd) -> Self {
        Self {
            fd,
            received: VecDeque::new(),
            end: None,
            reader: None,
            receives: false,
            stops: false,
            written: Vec::new(),
            is_listed: false,
            sends: false,
            broken: None,
            writer: None,
            is_left: false,
            aborts: false,
        }
    }

    /// Whether everything that was written is the kernel's.
    pub(crate) fn is_sent(&self) -> bool {
        !self.sends && self.written.is_empty()
    }

    /// Whether nobody needs it any more.
    pub(crate) fn is_over(&self) -> bool {
        self.is_left && !self.receives && self.is_sent()
    }

    /// Takes in what the kernel did. Wakers go to `wake`, messages to be used again to `spare`.
    /// Returns whether there is something to be sent, or the receiving to be stopped.
    pub(crate) fn done(
        &mut self,
        done: Done,
        kernel: &mut Kernel,
        wake: &mut Vec<Waker>,
        spare: &mut Vec<Vec<u8>>,
    ) -> bool {
        match done {
            Done::Received { result, goes_on } => {
                if !goes_on {
                    self.receives = false;
                    self.stops = false;
                }
                match result {
                    Ok(Some(piece)) if self.is_left => kernel.give_back(piece),
                    Ok(Some(piece)) => self.received.push_back(piece),
                    Ok(None) => self.end = Some(Ok(())),
                    // What the reader then does is to try by itself, and to have it received again.
                    Err(Errno::NOBUFS | Errno::CANCELED) => {}
                    Err(error) => self.end = Some(Err(error)),
                }
                wake.extend(self.reader.take());
                self.receives && !self.stops && self.received.len() >= PIECES
            }
            Done::Sent {
                result,
                mut message,
            } => {
                self.sends = false;
                match result {
                    Ok(sent) if sent < message.len() && sent > 0 => {
                        // Interrupted: the rest goes first.
                        message.drain(..sent);
                        message.append(&mut self.written);
                        self.written = message;
                    }
                    Ok(_) => {
                        message.clear();
                        if message.capacity() < LARGE {
                            spare.push(message);
                        }
                    }
                    Err(error) => self.fail(error),
                }
                wake.extend(self.writer.take());
                !self.written.is_empty()
            }
            Done::Cancelled => false,
        }
    }

    /// Nothing can be written any more.
    pub(crate) fn fail(&mut self, error: Errno) {
        self.broken = Some(error);
        self.written = Vec::new();
    }
}
