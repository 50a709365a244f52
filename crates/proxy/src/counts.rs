//! Connections and requests, counted by each worker for itself and added up by whoever asks.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::core::Core;

/// Counts of all workers, also of those that have ended.
#[derive(Debug, Default)]
pub struct Counts(Mutex<Vec<Arc<OfWorker>>>);

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Connections of clients that were accepted.
    pub accepted: u64,
    /// Those that were served.
    pub handled: u64,
    /// Requests that were begun.
    pub requests: u64,
    /// Connections that are open.
    pub active: u64,
    /// Those whose request is being read, or that have not said yet what they speak.
    pub reading: u64,
    /// Those whose request is being served.
    pub writing: u64,
    /// Those that are idle.
    pub waiting: u64,
    /// Times that a worker stopped accepting because it served as many connections as it may.
    pub full: u64,
}

impl Counts {
    /// The sum over all workers. Each number is exact; since they are read one after another, they
    /// may be of slightly different moments.
    pub fn sum(&self) -> Counted {
        let mut sum = Counted::default();
        for worker in &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            let active = read(&worker.accepted).saturating_sub(read(&worker.ended));
            let (writing, waiting) = (read(&worker.writing), read(&worker.waiting));
            sum.accepted += read(&worker.accepted);
            sum.handled += read(&worker.accepted);
            sum.requests += read(&worker.requests);
            sum.active += active;
            sum.reading += active.saturating_sub(writing + waiting);
            sum.writing += writing;
            sum.waiting += waiting;
            sum.full += read(&worker.full);
        }
        sum
    }

    /// The counts of one more worker.
    pub(crate) fn worker(&self) -> Arc<OfWorker> {
        let worker = Arc::default();
        let mut workers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        workers.push(Arc::clone(&worker));
        worker
    }
}

/// Written to by one thread only, so that adding needs no locked instruction; on cache lines of its
/// own, so that workers do not wait for each other's.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct OfWorker {
    accepted: AtomicU64,
    ended: AtomicU64,
    requests: AtomicU64,
    writing: AtomicU64,
    waiting: AtomicU64,
    full: AtomicU64,
}

impl OfWorker {
    pub(crate) fn connection_begins(&self) {
        more(&self.accepted);
    }

    pub(crate) fn connection_ends(&self) {
        more(&self.ended);
    }

    pub(crate) fn request(&self) {
        more(&self.requests);
    }

    pub(crate) fn is_full(&self) {
        more(&self.full);
    }
}

fn more(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

fn less(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Reading,
    Writing,
    Waiting,
}

/// What one connection is counted as, until it ends.
pub(crate) struct Presence {
    core: Rc<Core>,
    state: Cell<State>,
}

impl Presence {
    /// A connection of which a request is being read.
    pub(crate) fn new(core: &Rc<Core>) -> Self {
        Self {
            core: Rc::clone(core),
            state: Cell::new(State::Reading),
        }
    }

    pub(crate) fn reads(&self) {
        self.is(State::Reading);
    }

    pub(crate) fn writes(&self) {
        self.is(State::Writing);
    }

    pub(crate) fn waits(&self) {
        self.is(State::Waiting);
    }

    fn is(&self, state: State) {
        if let Some(before) = self.counter(self.state.replace(state)) {
            less(before);
        }
        if let Some(now) = self.counter(state) {
            more(now);
        }
    }

    fn counter(&self, state: State) -> Option<&AtomicU64> {
        let counts = &self.core.counts;
        match state {
            State::Reading => None,
            State::Writing => Some(&counts.writing),
            State::Waiting => Some(&counts.waiting),
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.reads();
    }
}
