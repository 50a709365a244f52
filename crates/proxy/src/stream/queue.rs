//! Datagrams that wait for their session.

use std::cell::Cell;
use std::rc::Rc;

use bytes::Bytes;
use tokio::sync::mpsc;

/// Datagrams of one session that may wait.
const DATAGRAMS: usize = 64;

/// Bytes of all sessions of a worker that may wait.
const BYTES: usize = 8 * 1024 * 1024;

/// Where a session's datagrams wait; the other end is the session's.
pub(super) struct Queue(mpsc::Sender<Queued>);

/// How many bytes wait on a worker.
pub(super) type Waiting = Rc<Cell<usize>>;

/// A datagram that waits, or was taken.
pub(super) struct Queued {
    pub(super) bytes: Bytes,
    waiting: Waiting,
}

impl Queue {
    pub(super) fn new() -> (Self, mpsc::Receiver<Queued>) {
        let (sender, receiver) = mpsc::channel(DATAGRAMS);
        (Self(sender), receiver)
    }

    /// Lets a datagram wait. Where too many do it is lost, as on any busy way.
    pub(super) fn put(&self, waiting: &Waiting, bytes: Bytes) {
        let together = waiting.get() + bytes.len();
        if together > BYTES {
            return;
        }
        waiting.set(together);
        let _ = self.0.try_send(Queued {
            bytes,
            waiting: Rc::clone(waiting),
        });
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.waiting.set(self.waiting.get() - self.bytes.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_bounded_per_session_and_per_worker() {
        let waiting = Waiting::default();
        let (queue, mut queued) = Queue::new();
        for _ in 0..2 * DATAGRAMS {
            queue.put(&waiting, Bytes::from_static(b"ab"));
        }
        assert_eq!((queued.len(), waiting.get()), (DATAGRAMS, 2 * DATAGRAMS));
        drop(queued.try_recv());
        assert_eq!(waiting.get(), 2 * (DATAGRAMS - 1));
        drop((queue, queued));
        assert_eq!(waiting.get(), 0);

        let (queue, queued) = Queue::new();
        let long = Bytes::from(vec![0; BYTES / 2]);
        for _ in 0..3 {
            queue.put(&waiting, long.clone());
        }
        assert_eq!((queued.len(), waiting.get()), (2, BYTES));
    }
}
