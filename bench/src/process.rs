//! A measured process: its CPU time and memory, with those of its children, from `/proc`.

use std::collections::HashSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};

/// A running process and its children. Killed when dropped.
pub(crate) struct Process {
    child: Child,
}

/// What a process has used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// User and system time of all threads.
    pub(crate) cpu: Duration,
    /// Resident memory in bytes.
    pub(crate) memory: u64,
}

impl Process {
    /// Starts a command whose output goes to a file.
    pub(crate) fn start(command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {:?}", command.get_program()))?;
        Ok(Self { child })
    }

    /// What it and its children have used so far.
    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        let mut usage = Usage::default();
        for pid in family(self.child.id()) {
            // A child that has just ended has nothing left to read.
            if let Some(one) = usage_of(pid) {
                usage.cpu += one.cpu;
                usage.memory += one.memory;
            }
        }
        anyhow::ensure!(is_alive(self.child.id()), "the process has ended");
        Ok(usage)
    }

    /// Its id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// User and system time of its threads that still run, to the nanosecond: of those whose names
    /// begin like this, and of the others.
    pub(crate) fn times(&self, name: &str) -> anyhow::Result<[Duration; 2]> {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id()))
            .context("the process has ended")?;
        let mut times = [Duration::ZERO; 2];
        for thread in threads {
            let thread = thread?.path();
            let read = |file| std::fs::read_to_string(thread.join(file));
            // A thread that has just ended has nothing left to read.
            let (Ok(called), Ok(used)) = (read("comm"), read("schedstat")) else {
                continue;
            };
            let used = used.split_whitespace().next();
            let used = used.and_then(|used| used.parse().ok()).unwrap_or(0);
            times[usize::from(!called.starts_with(name))] += Duration::from_nanos(used);
        }
        Ok(times)
    }

    /// SIGKILL to the process itself, and waits for it.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        for pid in family(self.child.id()) {
            if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// The process and all that descend from it.
fn family(root: u32) -> Vec<u32> {
    let mut known = HashSet::from([root]);
    let mut queue = vec![root];
    let mut all = vec![root];
    while let Some(pid) = queue.pop() {
        let children =
            std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        for child in children
            .split_whitespace()
            .filter_map(|text| text.parse().ok())
        {
            if known.insert(child) {
                queue.push(child);
                all.push(child);
            }
        }
    }
    all
}

/// What the kernel tells of a process, from its state on.
fn stat(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold spaces; the fields after it do not.
    Some(stat.rsplit_once(')')?.1.to_owned())
}

/// Whether a process has not ended; one that nobody has waited for is still listed.
fn is_alive(pid: u32) -> bool {
    stat(pid).is_some_and(|stat| !stat.trim_start().starts_with(['Z', 'X']))
}

fn usage_of(pid: u32) -> Option<Usage> {
    let stat = stat(pid)?;
    let fields: Vec<&str> = stat.split_whitespace().collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    let pages: u64 = fields.get(21)?.parse().ok()?;
    let per_second = rustix::param::clock_ticks_per_second();
    Some(Usage {
        cpu: Duration::from_secs_f64(ticks as f64 / per_second as f64),
        memory: pages * rustix::param::page_size() as u64,
    })
}
