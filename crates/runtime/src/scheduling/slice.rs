//! The time slice of a thread, which no safe interface of ours sets.
//!
//! Since Linux 6.12 a thread of the normal policy has a slice of its own: `sched_runtime` of
//! `sched_setattr(2)`, 0.1 to 100 ms. Of two threads, one that wakes up with the shorter slice goes
//! before the rest of the other's. Older kernels take the number and do without it.
#![expect(
    unsafe_code,
    reason = "the system call takes a pointer to its attributes"
)]

use std::io;

/// The shortest that there is, in nanoseconds: also longer than almost every request takes.
const SLICE: u64 = 100_000;

/// Gives the calling thread the shortest slice; its niceness stays.
pub(super) fn shorten() -> io::Result<()> {
    let niceness = rustix::process::nice(0)?;
    let attributes = libc::sched_attr {
        size: size_of::<libc::sched_attr>() as u32,
        sched_policy: libc::SCHED_OTHER as u32,
        sched_flags: 0,
        sched_nice: niceness,
        sched_priority: 0,
        sched_runtime: SLICE,
        sched_deadline: 0,
        sched_period: 0,
    };
    const CALLING_THREAD: libc::pid_t = 0;
    const NO_FLAGS: libc::c_uint = 0;
    // SAFETY: the pointer is to a whole, initialised structure whose size is in it; it outlives the
    // call, which only reads it.
    let result = unsafe {
        libc::syscall(
            libc::SYS_sched_setattr,
            CALLING_THREAD,
            &raw const attributes,
            NO_FLAGS,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_slice_is_taken_by_the_kernel_and_the_niceness_stays() {
        let niceness = || rustix::process::nice(0).unwrap();
        let (before, after) = std::thread::spawn(move || {
            let before = niceness();
            super::shorten().unwrap();
            (before, niceness())
        })
        .join()
        .unwrap();
        assert_eq!(before, after);
    }
}
