//! The connections that share an io_uring.

use std::cell::{RefCell, RefMut};
use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::task::Waker;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use slab::Slab;

use crate::kernel::Kernel;
use crate::slot::{PIECES, Slot};

/// Messages that are kept to be used again.
const SPARE: usize = 64;
/// How long the last connections have to get rid of what was written, once their thread ends.
const LAST: Duration = Duration::from_secs(1);

/// The connections of a thread that share an io_uring.
#[derive(Clone)]
pub(crate) struct Ring(Rc<RefCell<State>>);

pub(crate) struct State {
    pub(crate) kernel: Kernel,
    pub(crate) slots: Slab<Slot>,
    /// Those that have something for the kernel.
    listed: Vec<usize>,
    /// Messages to be used again.
    pub(crate) spare: Vec<Vec<u8>>,
    /// Room for those to be woken.
    wake: Vec<Waker>,
    /// The task that submits and collects.
    driver: Option<Waker>,
    /// Whether it will run without being woken again.
    is_driven: bool,
    /// Whether the ring has failed as a whole.
    failed: Option<Errno>,
}

impl Ring {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(Rc::new(RefCell::new(State {
            kernel: Kernel::new()?,
            slots: Slab::new(),
            listed: Vec::new(),
            spare: Vec::new(),
            wake: Vec::new(),
            driver: None,
            is_driven: false,
            failed: None,
        }))))
    }

    pub(crate) fn state(&self) -> RefMut<'_, State> {
        self.0.borrow_mut()
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.0.borrow().failed.is_none()
    }

    /// The driver's task runs now: `waker` wakes it.
    pub(crate) fn begins(&self, waker: &Waker) {
        let mut state = self.state();
        state.is_driven = true;
        state.kernel.silence();
        match &mut state.driver {
            Some(driver) => driver.clone_from(waker),
            None => state.driver = Some(waker.clone()),
        }
    }

    /// The driver's task ends its run. Returns whether it is to run again at once; if not, the event
    /// tells what is done from now on.
    pub(crate) fn ends(&self, woke: bool) -> bool {
        let state = &mut *self.state();
        if state.failed.is_some() {
            state.is_driven = false;
            return false;
        }
        let mut again = woke || !state.listed.is_empty();
        if !again {
            state.kernel.ask();
            again = !state.kernel.is_idle();
        }
        state.is_driven = again;
        again
    }

    /// Submits what was asked for, collects what was done and wakes those who wait for it. Returns
    /// whether there were any.
    pub(crate) fn turn(&self) -> bool {
        let mut wake = {
            let state = &mut *self.state();
            state.turn(None);
            std::mem::take(&mut state.wake)
        };
        let woke = !wake.is_empty();
        for waker in wake.drain(..) {
            waker.wake();
        }
        self.state().wake = wake;
        woke
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ring")
    }
}

impl State {
    /// Puts a connection on the list of those that have something for the kernel.
    pub(crate) fn list(&mut self, key: usize) {
        let slot = &mut self.slots[key];
        if slot.is_listed {
            return;
        }
        slot.is_listed = true;
        self.listed.push(key);
        if !self.is_driven
            && let Some(driver) = &self.driver
        {
            self.is_driven = true;
            driver.wake_by_ref();
        }
    }

    fn turn(&mut self, wait: Option<Duration>) {
        self.push();
        if wait.is_none() && self.kernel.is_idle() {
            return;
        }
        if let Err(error) = self.kernel.enter(wait) {
            self.fail(Errno::from_io_error(&error).unwrap_or(Errno::IO));
        }
        let Self {
            kernel,
            slots,
            wake,
            spare,
            listed,
            ..
        } = self;
        while kernel.collect(|kernel, key, done| {
            let Some(slot) = slots.get_mut(key) else {
                return;
            };
            if slot.done(done, kernel, wake, spare) && !slot.is_listed {
                slot.is_listed = true;
                listed.push(key);
            }
            if slot.is_over() && !slot.is_listed {
                slots.remove(key);
            }
        }) {}
        spare.truncate(SPARE);
    }

    /// Hands over what the listed connections have for the kernel.
    fn push(&mut self) {
        let Self {
            kernel,
            slots,
            listed,
            ..
        } = self;
        for key in listed.drain(..) {
            let Some(slot) = slots.get_mut(key) else {
                continue;
            };
            slot.is_listed = false;
            if slot.aborts {
                slot.written.clear();
                if slot.receives || slot.sends {
                    kernel.stop(slot.fd.as_fd());
                }
            } else {
                if !slot.sends && !slot.written.is_empty() {
                    slot.sends = true;
                    kernel.send(key, slot.fd.as_fd(), std::mem::take(&mut slot.written));
                }
                if slot.is_left || slot.received.len() >= PIECES {
                    if slot.receives && !slot.stops {
                        slot.stops = true;
                        kernel.stop_receiving(key);
                    }
                } else if !slot.receives && slot.end.is_none() && slot.received.is_empty() {
                    slot.receives = true;
                    kernel.receive(key, slot.fd.as_fd());
                }
            }
            if slot.is_over() {
                slots.remove(key);
            }
        }
    }

    fn fail(&mut self, error: Errno) {
        self.failed = Some(error);
        for (_, slot) in &mut self.slots {
            slot.end = Some(Err(error));
            slot.fail(error);
            self.wake.extend(slot.reader.take());
            self.wake.extend(slot.writer.take());
        }
    }
}

impl Drop for State {
    /// The thread ends: what was written is still sent, as the kernel would do for its own sockets.
    fn drop(&mut self) {
        let end = Instant::now() + LAST;
        while self.failed.is_none()
            && self.slots.iter().any(|(_, slot)| !slot.is_over())
            && let Some(left) = end.checked_duration_since(Instant::now())
        {
            self.turn(Some(left.min(LAST / 10)));
        }
    }
}
