//! Processor time of requests.

use std::time::{Duration, Instant};

use super::Cost;
use crate::load::Load;
use crate::process::Process;

/// How long a node may go on with what requests have left to it, such as records to be sent.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long it must have been idle to be done with that.
const IDLE: Duration = Duration::from_millis(60);

/// What the threads are called that serve requests.
const SERVING: &str = "proxy-";

/// Microseconds per request, until the node has come to rest.
pub(super) fn per_request(
    process: &Process,
    load: &Load,
    duration: Duration,
) -> anyhow::Result<Cost> {
    let before = process.times(SERVING)?;
    let outcome = load.run(duration, None)?;
    let after = at_rest(process)?;
    // What a thread has used is forgotten with it.
    let spent = |index: usize| after[index].saturating_sub(before[index]).as_secs_f64() * 1e6;
    let [serving, beside] = [0, 1].map(|index| spent(index) / outcome.requests as f64);
    Ok(Cost { serving, beside })
}

/// The times that were used when they were seen to rise no more.
#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark waits for another process"
)]
fn at_rest(process: &Process) -> anyhow::Result<[Duration; 2]> {
    let start = Instant::now();
    let mut used = process.times(SERVING)?;
    loop {
        std::thread::sleep(IDLE);
        let now = process.times(SERVING)?;
        let rest = (now[0] + now[1]).saturating_sub(used[0] + used[1]) < IDLE / 50;
        used = now;
        if rest || start.elapsed() > PATIENCE {
            return Ok(used);
        }
    }
}
