//! How threads that prepare things stand back behind those that serve requests.
//!
//! The kernel's scheduler gives every thread a turn of some milliseconds. On a core that compiles a
//! configuration, a request would wait for such a turn to end; so everything but the proxy's own
//! threads is scheduled lower than they are.

#[cfg(target_os = "linux")]
mod slice;

use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

/// How much lower than the proxy a thread is scheduled whose work has to come about in time.
const NICENESS: i32 = 10;

/// For a thread that serves requests: when it wakes up, it takes the processor at once from any
/// thread that has not asked for the same.
///
/// Standing back is not enough for that: a thread of a low priority that runs keeps its slice, about
/// a millisecond, against one that wakes up, unless the slice of that one is shorter.
pub fn answer_promptly() {
    #[cfg(target_os = "linux")]
    if let Err(error) = slice::shorten() {
        tracing::debug!("cannot shorten the time slice of a thread: {error}");
    }
}

/// For a thread whose work must not wait for long, such as taking over a configuration or renewing
/// a lease: on a machine that is busy through and through it still gets a tenth of a processor.
pub fn stand_back() {
    // On Linux this is the calling thread's own niceness. It may only ever be refused, never harm.
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::debug!("cannot lower the priority of a thread: {error}");
    }
}

/// For a thread whose work can wait: it runs when a processor has nothing else to do, and gives it
/// up at once to a thread that wakes up. On a machine that is busy through and through it still gets
/// some thousandths of a processor.
pub fn run_when_idle() {
    let set = set_thread_priority_and_policy(
        thread_native_id(),
        ThreadPriority::Min,
        ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle),
    );
    if let Err(error) = set {
        tracing::debug!("cannot make a thread run only when a processor is idle: {error:?}");
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    /// Niceness and policy of a thread that has called `lower`, as `proc(5)` numbers them.
    fn scheduled(lower: fn()) -> (i32, u32) {
        let stat = std::thread::spawn(move || {
            lower();
            std::fs::read_to_string("/proc/thread-self/stat").unwrap()
        });
        let stat = stat.join().unwrap();
        // The fields after the name, which is in parentheses, begin with the third.
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .unwrap()
            .1
            .split_whitespace()
            .collect();
        (
            fields[19 - 3].parse().unwrap(),
            fields[41 - 3].parse().unwrap(),
        )
    }

    #[test]
    fn a_thread_stands_back_and_others_stay_as_they_are() {
        const OTHER: u32 = 0;
        let (before, _) = scheduled(|| {});
        let (niceness, policy) = scheduled(super::stand_back);
        assert_eq!(
            (niceness, policy),
            ((before + super::NICENESS).min(19), OTHER)
        );
        assert_eq!(scheduled(|| {}).0, before);
    }

    #[test]
    fn a_thread_runs_when_a_processor_is_idle() {
        const IDLE: u32 = 5;
        assert_eq!(scheduled(super::run_when_idle).1, IDLE);
    }
}
