//! How threads share the processors with those of the proxy, which come first.

/// How much lower than the proxy everything else is scheduled: enough for the proxy to run as soon
/// as it has work, not so much that a busy proxy keeps a new configuration waiting.
const NICENESS: i32 = 10;

/// Lowers the priority of the calling thread; threads that it starts begin there.
pub(crate) fn lower() {
    // On Linux this is the calling thread's own niceness. It may only ever be refused, never harm.
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::debug!("cannot lower the priority of a thread: {error}");
    }
}
