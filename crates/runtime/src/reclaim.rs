//! Letting go of runtimes away from the cores that serve.
//!
//! Taking down a runtime with many routes takes long enough for clients to notice. Whoever held it
//! last would do it, which is a core as often as not; so a thread of its own keeps every runtime
//! that was swapped out until it is the last holder.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use crate::scheduling::run_when_idle;

/// How often runtimes that somebody still holds are looked at.
const PAUSE: Duration = Duration::from_millis(250);

/// Takes runtimes that serve no new requests.
#[derive(Debug)]
pub(crate) struct Reclaim<T> {
    retired: Sender<Arc<T>>,
}

impl<T: Send + Sync + 'static> Reclaim<T> {
    /// Starts the thread; it ends with this.
    pub(crate) fn start() -> Self {
        let (retired, arriving) = mpsc::channel();
        let thread = thread::Builder::new().name("reclaim".to_owned());
        if let Err(error) = thread.spawn(move || run(&arriving)) {
            tracing::warn!(%error, "old configurations are taken down by the cores that serve");
        }
        Self { retired }
    }

    /// Lets go of `runtime` once nobody else holds it.
    pub(crate) fn retire(&self, runtime: Arc<T>) {
        // Without the thread the last holder takes it down.
        let _ = self.retired.send(runtime);
    }
}

fn run<T>(arriving: &Receiver<Arc<T>>) {
    run_when_idle();
    let mut held = Vec::new();
    loop {
        let next = if held.is_empty() {
            arriving.recv().map_err(RecvTimeoutError::from)
        } else {
            arriving.recv_timeout(PAUSE)
        };
        match next {
            Ok(runtime) => held.push(runtime),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        // It is not current any more, so nobody can take hold of it anew.
        held.retain(|runtime| Arc::strong_count(runtime) > 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tells which thread takes it down.
    struct Telling(Sender<Option<String>>);

    impl Drop for Telling {
        fn drop(&mut self) {
            let _ = self.0.send(thread::current().name().map(str::to_owned));
        }
    }

    #[test]
    fn what_is_retired_goes_after_its_last_holder_and_on_the_thread() {
        let (told, telling) = mpsc::channel();
        let reclaim = Reclaim::start();
        let held = Arc::new(Telling(told.clone()));
        let other = Arc::new(Telling(told));
        reclaim.retire(Arc::clone(&held));
        reclaim.retire(other);
        assert_eq!(telling.recv().unwrap().as_deref(), Some("reclaim"));
        assert!(telling.try_recv().is_err(), "the other one is still held");
        drop(held);
        assert_eq!(telling.recv().unwrap().as_deref(), Some("reclaim"));
    }
}
