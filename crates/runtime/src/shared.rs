//! The runtime that serves, shared by all cores.

use std::cell::RefCell;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::Runtime;
use crate::reclaim::Reclaim;

/// The runtime that serves. One per node; swapped whole.
#[derive(Debug)]
pub struct Shared {
    current: ArcSwap<Runtime>,
    /// Counts swaps, so that readers look at `current` only after one.
    swaps: AtomicU64,
    /// Tells those who wait for the next swap.
    swapped: watch::Sender<()>,
    reclaim: Reclaim<Runtime>,
}

impl Shared {
    /// Starts with `runtime`.
    pub fn new(runtime: Arc<Runtime>) -> Arc<Self> {
        Arc::new(Self {
            current: ArcSwap::new(runtime),
            swaps: AtomicU64::new(0),
            swapped: watch::Sender::new(()),
            reclaim: Reclaim::start(),
        })
    }

    /// The runtime that serves now.
    pub fn load(&self) -> Arc<Runtime> {
        self.current.load_full()
    }

    /// Lets `runtime` serve from now on. Requests in flight finish on the runtime that they began
    /// with; it is taken down after the last of them, by none of the threads that serve.
    pub fn swap(&self, runtime: Arc<Runtime>) {
        let before = self.current.swap(runtime);
        self.swaps.fetch_add(1, Ordering::Release);
        self.swapped.send_replace(());
        self.reclaim.retire(before);
    }

    /// Changes with every swap.
    pub fn swaps(&self) -> watch::Receiver<()> {
        self.swapped.subscribe()
    }
}

/// A runtime held by one core.
pub type Held = Rc<Lease>;

/// One core's share of a runtime. Requests count their use of it here, without touching the
/// counter that the cores have in common.
#[derive(Debug)]
pub struct Lease(Arc<Runtime>);

impl Deref for Lease {
    type Target = Runtime;

    fn deref(&self) -> &Runtime {
        &self.0
    }
}

/// One core's view of [`Shared`].
#[derive(Debug)]
pub struct Reader {
    shared: Arc<Shared>,
    seen: RefCell<(u64, Held)>,
}

impl Reader {
    /// A view for the core that calls.
    pub fn new(shared: Arc<Shared>) -> Self {
        let swaps = shared.swaps.load(Ordering::Acquire);
        let held = Rc::new(Lease(shared.load()));
        Self {
            shared,
            seen: RefCell::new((swaps, held)),
        }
    }

    /// The runtime that serves now. Costs one atomic load while nothing was swapped.
    pub fn current(&self) -> Held {
        // The count is read before the runtime: a swap in between is seen the next time.
        let swaps = self.shared.swaps.load(Ordering::Acquire);
        let mut seen = self.seen.borrow_mut();
        if seen.0 != swaps {
            *seen = (swaps, Rc::new(Lease(self.shared.load())));
        }
        Rc::clone(&seen.1)
    }
}
