//! The old process's side of a handover.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use keelgate_proxy::Sockets;
use rustix::fs::MemfdFlags;
use rustix::process::{Pid, Signal, kill_process};

use super::Configuration;
use super::line::{FILES, Line, Message};
use crate::node::TicketKeys;

/// How long the new process may take until it serves: it may have a large configuration to compile,
/// and the old one goes on serving meanwhile.
const PATIENCE: Duration = Duration::from_secs(300);

/// What is handed over.
#[derive(Debug)]
pub(crate) struct Estate {
    /// Listening sockets.
    pub(crate) sockets: Sockets,
    /// The file that holds the process id, locked.
    pub(crate) claim: File,
    /// The directory of the node.
    pub(crate) prefix: PathBuf,
    /// Whether a configuration is served.
    pub(crate) serving: bool,
    /// What TLS sessions of clients are resumed with.
    pub(crate) tickets: Option<TicketKeys>,
    /// What is served, where that cannot be read elsewhere.
    pub(crate) configuration: Option<Configuration>,
}

/// How the next process is started.
#[derive(Clone, Debug)]
pub(crate) struct Successor {
    /// The program.
    pub(crate) program: PathBuf,
    /// The arguments that make it a node like this one; that it is to inherit is added.
    pub(crate) arguments: Vec<OsString>,
}

/// A process that serves beside this one and waits to be the node.
#[derive(Debug)]
pub(crate) struct Waiting {
    line: Line,
    child: Child,
}

/// The file of the program that runs. Asked at the start: afterwards the file may be another one.
pub(crate) fn program() -> Result<PathBuf> {
    std::env::current_exe().context("cannot find this program's file")
}

impl Successor {
    /// Starts the next process.
    pub(crate) fn start(&self) -> Result<Waiting> {
        let (line, theirs) = Line::pair()?;
        let child = Command::new(&self.program)
            .args(&self.arguments)
            .arg("--handover")
            .stdin(theirs)
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        Ok(Waiting { line, child })
    }
}

impl Waiting {
    /// The process's id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Hands it everything, and waits until it serves. Blocks. On an error there is no other process
    /// any more.
    pub(crate) fn hand_over(self, estate: &Estate) -> Result<Self> {
        match self.tell(estate) {
            Ok(()) => Ok(self),
            Err(error) => Err(self.give_up(error)),
        }
    }

    /// Makes it the node.
    pub(crate) fn succeed(self) -> Result<()> {
        match self.line.send(&Message::Yours, &[]) {
            Ok(()) => Ok(()),
            Err(error) => Err(self.give_up(error)),
        }
    }

    /// Ends the process, which must not go on by itself.
    pub(crate) fn give_up(mut self, error: anyhow::Error) -> anyhow::Error {
        // One that has ended already cannot be ended.
        let _ = self.child.kill();
        match self.child.wait() {
            Ok(status) => error.context(format!("the new process is given up ({status})")),
            Err(_) => error,
        }
    }

    fn tell(&self, estate: &Estate) -> Result<()> {
        let line = &self.line;
        for (name, sockets) in estate.sockets.iter() {
            for sockets in sockets.chunks(FILES) {
                let name = name.to_owned();
                line.send(&Message::Sockets { name }, sockets)?;
            }
        }
        let claim = estate.claim.try_clone()?.into();
        let message = Message::Claim {
            prefix: estate.prefix.clone(),
            serving: estate.serving,
        };
        line.send(&message, &[claim])?;
        if let Some(tickets) = &estate.tickets {
            let file = in_memory("tickets", &serde_json::to_vec(tickets)?)?;
            line.send(&Message::Tickets, &[file])?;
        }
        if let Some(configuration) = &estate.configuration {
            let hash = configuration.hash.clone();
            let file = in_memory("configuration", &configuration.document)?;
            line.send(&Message::Configuration { hash }, &[file])?;
        }
        line.send(&Message::All, &[])?;
        line.set_patience(PATIENCE)?;
        match line.receive()? {
            Some((Message::Ready, _)) => Ok(()),
            Some(_) => bail!("the new process spoke out of turn"),
            None => bail!("the new process ended; the log says why"),
        }
    }
}

/// Ends a process that was started and is not the node yet.
pub(crate) fn end(id: u32) {
    if let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        // One that has ended already cannot be ended.
        let _ = kill_process(pid, Signal::KILL);
    }
}

fn in_memory(name: &str, content: &[u8]) -> Result<OwnedFd> {
    let file = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC)?;
    let mut file = File::from(file);
    file.write_all(content)?;
    Ok(file.into())
}

/// Tells the command that asked for a handover that it failed, and why; `None` clears what an
/// earlier one left.
pub(crate) fn note_failure(prefix: &Path, failure: Option<&str>) {
    let path = failure_file(prefix);
    let noted = match failure {
        Some(text) => std::fs::write(&path, text),
        None => match std::fs::remove_file(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        },
    };
    if let Err(error) = noted {
        tracing::warn!("cannot keep {}: {error}", path.display());
    }
}

/// Why the last handover failed, if it did.
pub(crate) fn failure(prefix: &Path) -> Option<String> {
    std::fs::read_to_string(failure_file(prefix)).ok()
}

fn failure_file(prefix: &Path) -> PathBuf {
    prefix.join("pids/handover.failed")
}
