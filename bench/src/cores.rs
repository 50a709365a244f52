//! One processor for the gateway alone, so that what the benchmark itself does, which belongs on other
//! machines, does not disturb what is measured.

use anyhow::Context;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The processor of the gateway.
const GATEWAY: usize = 0;

/// From now on this thread, and all that it starts, run on the other processors. Does nothing on a
/// machine that has one.
pub(crate) fn keep_from_the_gateway() -> anyhow::Result<()> {
    let mut others = sched_getaffinity(None)?;
    others.unset(GATEWAY);
    if others.count() > 0 {
        run_on(&others)?;
    }
    Ok(())
}

/// What `start` starts runs on the gateway's processor.
pub(crate) fn of_the_gateway<T>(start: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let before = sched_getaffinity(None)?;
    let mut own = CpuSet::new();
    own.set(GATEWAY);
    run_on(&own)?;
    let started = start();
    run_on(&before)?;
    started
}

fn run_on(processors: &CpuSet) -> anyhow::Result<()> {
    sched_setaffinity(None, processors).context("cannot choose the processors to run on")
}
