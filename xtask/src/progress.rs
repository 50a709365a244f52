//! What a task tells about itself.

use std::io::IsTerminal as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use anyhow::{Context as _, Result};

const STEP: Style = AnsiColor::Cyan.on_default().bold();
const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// A step begins.
pub(crate) fn step(what: &str) {
    anstream::eprintln!("{STEP}==>{STEP:#} {what}");
}

/// Something is done.
pub(crate) fn done(what: &str) {
    anstream::eprintln!("{GOOD}==>{GOOD:#} {what}");
}

/// The task has failed.
pub(crate) fn failed(error: &anyhow::Error) {
    anstream::eprintln!("{BAD}failed:{BAD:#} {error:#}");
}

/// A program that runs beside others, its output kept in a file.
pub(crate) struct Background {
    what: &'static str,
    child: Child,
    log: std::path::PathBuf,
    started: Instant,
}

impl Background {
    /// Starts it. `what` says in a few words what it does.
    pub(crate) fn start(
        what: &'static str,
        command: &mut Command,
        log: std::path::PathBuf,
    ) -> Result<Self> {
        let file = std::fs::File::create(&log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {what}"))?;
        Ok(Self {
            what,
            child,
            log,
            started: Instant::now(),
        })
    }

    /// Waits for its end, with a line of progress meanwhile.
    pub(crate) fn wait(mut self) -> Result<(ExitStatus, String)> {
        let terminal = std::io::stderr().is_terminal();
        let mut told = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            let seconds = self.started.elapsed().as_secs();
            if terminal {
                anstream::eprint!("\r    {} … {seconds} s ", self.what);
            } else if told.elapsed() > Duration::from_secs(30) {
                told = Instant::now();
                anstream::eprintln!("    {} … {seconds} s", self.what);
            }
            pause(Duration::from_millis(200));
        };
        if terminal {
            anstream::eprint!("\r\x1b[K");
        }
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        Ok((status, log))
    }
}

impl Drop for Background {
    /// A task that fails elsewhere does not leave a build running.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits a little before another process is looked at again.
#[expect(
    clippy::disallowed_methods,
    reason = "a task has nothing else to do meanwhile"
)]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// The last lines of a log, for an error.
pub(crate) fn tail(log: &str, lines: usize) -> String {
    let all: Vec<&str> = log.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
