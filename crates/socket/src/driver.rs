//! The task that submits and collects.
//!
//! It runs behind the tasks that can run now, so what they all ask for goes to the kernel in one call,
//! which also collects what was done since. While it has nothing to do the kernel signals an event, for
//! which tokio waits together with everything else that it waits for.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use crate::ring::Ring;

/// Starts the task. It ends with the runtime.
pub(crate) fn spawn(ring: &Ring) -> io::Result<()> {
    let event = ring.state().kernel.event()?;
    let ring = ring.clone();
    tokio::task::spawn_local(poll_fn::<(), _>(move |cx| {
        // Forgotten before it is looked what was done: so nothing is missed.
        while let Poll::Ready(Ok(mut guard)) = event.poll_read_ready(cx) {
            guard.clear_ready();
        }
        ring.begins(cx.waker());
        let woke = ring.turn();
        if ring.ends(woke) {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }));
    Ok(())
}
