//! The file by which commands find a running node.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal};

/// How often a process that is waited for is looked at.
const PAUSE: Duration = Duration::from_millis(20);

/// `pids/keelgate.pid` under the prefix. A running node holds a lock on it, which
/// the system takes away when the process ends, however it ends: a file left
/// behind never stands for a process that has its number by chance.
pub(crate) struct PidFile {
    path: PathBuf,
}

/// The lock that a running node holds.
pub(crate) struct Claim {
    file: File,
    /// Whether the file names this process.
    is_held: bool,
}

impl Claim {
    /// The lock that the process before holds: it is held by both until one ends.
    pub(crate) fn inherited(file: File) -> Self {
        Self {
            file,
            is_held: false,
        }
    }

    /// The file, to hand it on.
    pub(crate) fn file(&self) -> std::io::Result<File> {
        self.file.try_clone()
    }

    /// Names this process as the node.
    pub(crate) fn hold(&mut self) -> std::io::Result<()> {
        if !self.is_held {
            // In one piece and cut off afterwards: whoever reads meanwhile finds a whole number.
            let text = format!("{}\n", std::process::id());
            self.file.rewind()?;
            self.file.write_all(text.as_bytes())?;
            self.file.set_len(text.len() as u64)?;
            self.is_held = true;
        }
        Ok(())
    }
}

impl PidFile {
    /// Of the node with this prefix.
    pub(crate) fn of(prefix: &Path) -> Self {
        Self {
            path: prefix.join("pids/keelgate.pid"),
        }
    }

    /// Makes this process the node of its prefix.
    pub(crate) fn claim(&self) -> Result<Claim> {
        let failed = || format!("cannot keep the process id in {}", self.path.display());
        if let Some(directory) = self.path.parent() {
            fs::create_dir_all(directory).with_context(failed)?;
        }
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&self.path)
            .with_context(failed)?;
        // A command that looks whether a node runs holds the lock for a moment.
        let deadline = Instant::now() + Duration::from_millis(500);
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => pause(),
                Err(TryLockError::WouldBlock) => {
                    bail!(
                        "a node already runs in this prefix ({})",
                        self.path.display()
                    )
                }
                Err(TryLockError::Error(error)) => return Err(error).with_context(failed),
            }
        }
        let mut claim = Claim {
            file,
            is_held: false,
        };
        claim.hold().with_context(failed)?;
        Ok(claim)
    }

    /// The process that runs as this node.
    pub(crate) fn running(&self) -> Result<Option<Pid>> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", self.path.display()));
            }
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                file.read_to_string(&mut text)?;
                let number = text.lines().next().and_then(|line| line.parse().ok());
                Ok(number.and_then(Pid::from_raw))
            }
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot look at {}", self.path.display()))
            }
        }
    }

    /// Sends a signal to the node.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let Some(pid) = self.running()? else {
            bail!(
                "no node runs in this prefix ({} is not held)",
                self.path.display()
            );
        };
        rustix::process::kill_process(pid, signal)
            .with_context(|| format!("cannot signal process {pid}"))
    }

    /// Waits until the node has ended; `false` when it has not in time.
    pub(crate) fn wait_for_end(&self, patience: Duration) -> Result<bool> {
        let deadline = Instant::now() + patience;
        loop {
            if self.running()?.is_none() {
                return Ok(true);
            }
            if Instant::now() >= deadline {
                return Ok(false);
            }
            pause();
        }
    }
}

/// Another process is waited for; there is nothing else to do meanwhile.
#[expect(
    clippy::disallowed_methods,
    reason = "a command waits for another process"
)]
pub(super) fn pause() {
    thread::sleep(PAUSE);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_runs_while_it_holds_its_claim() {
        let prefix = tempfile::tempdir().unwrap();
        let file = PidFile::of(prefix.path());
        assert_eq!(file.running().unwrap(), None);
        let claim = file.claim().unwrap();
        assert_eq!(file.running().unwrap(), Some(rustix::process::getpid()));
        assert!(PidFile::of(prefix.path()).claim().is_err());
        assert!(!file.wait_for_end(Duration::ZERO).unwrap());
        drop(claim);
        assert_eq!(file.running().unwrap(), None);
        assert!(file.signal(Signal::TERM).is_err());
        file.claim().unwrap();
    }
}
