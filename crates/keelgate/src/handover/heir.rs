//! The new process's side of a handover.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use keelgate_proxy::Sockets;

use super::Configuration;
use super::line::{Line, Message};
use crate::node::TicketKeys;

/// How long the old process may take for its part: it has everything at hand.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the old process handed to this one.
#[derive(Debug)]
pub(crate) struct Inheritance {
    /// Listening sockets with what waits in them.
    pub(crate) sockets: Sockets,
    /// The file that holds the process id, locked.
    pub(crate) claim: File,
    /// The directory of the node.
    prefix: PathBuf,
    /// Whether the old process serves a configuration.
    pub(crate) serving: bool,
    /// What it resumes TLS sessions of clients with.
    pub(crate) tickets: Option<TicketKeys>,
    /// What it serves, where that cannot be read elsewhere.
    pub(crate) configuration: Option<Configuration>,
    /// How to say that this process is ready.
    pub(crate) heir: Heir,
}

/// A process that will be the node when it is ready.
#[derive(Debug)]
pub(crate) struct Heir(Line);

impl Inheritance {
    /// Takes what the old process hands over, on the standard input of this one.
    pub(crate) fn receive() -> Result<Self> {
        let line = Line::standard_input()?;
        line.set_patience(PATIENCE)?;
        let mut sockets: Vec<(String, Vec<_>)> = Vec::new();
        let mut claim = None;
        let mut tickets = None;
        let mut configuration = None;
        loop {
            let (message, mut files) = line
                .receive()
                .context("--handover: standard input is not the end of a handover")?
                .context("the old process ended before it had handed over")?;
            match message {
                Message::Sockets { name } => match sockets.last_mut() {
                    Some((last, group)) if *last == name => group.extend(files),
                    _ => sockets.push((name, files)),
                },
                Message::Claim { prefix, serving } => {
                    claim = files.pop().map(|file| (File::from(file), prefix, serving));
                }
                Message::Tickets => {
                    let content = content(files).context("ticket keys came without content")?;
                    let keys = serde_json::from_slice(&content);
                    tickets = Some(keys.context("the ticket keys cannot be read")?);
                }
                Message::Configuration { hash } => {
                    let document =
                        content(files).context("a configuration came without content")?;
                    configuration = Some(Configuration { hash, document });
                }
                Message::All => break,
                Message::Ready | Message::Yours => bail!("the old process spoke out of turn"),
            }
        }
        let (claim, prefix, serving) = claim.context("the lock of the node was not handed over")?;
        let mut handed = Sockets::default();
        for (name, group) in sockets {
            handed.add(name, group);
        }
        Ok(Self {
            sockets: handed,
            claim,
            prefix,
            serving,
            tickets,
            configuration,
            heir: Heir(line),
        })
    }

    /// Makes sure that the node stays where it was.
    pub(crate) fn check(&self, prefix: &Path) -> Result<()> {
        ensure!(
            self.prefix == prefix,
            "prefix: the running node is in {}, the settings say {}; stop it and start it anew",
            self.prefix.display(),
            prefix.display()
        );
        Ok(())
    }
}

/// What is in the last of some files.
fn content(mut files: Vec<OwnedFd>) -> Result<Vec<u8>> {
    let mut file = File::from(files.pop().context("there is no file")?);
    let mut content = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut content)?;
    Ok(content)
}

impl Heir {
    /// Says that this process serves, and waits until the old one has made room. Blocks. An old
    /// process that ends meanwhile has made room, too.
    pub(crate) fn succeed(&self) -> Result<()> {
        self.0.send(&Message::Ready, &[])?;
        match self.0.receive()? {
            Some((Message::Yours, _)) | None => Ok(()),
            Some(_) => bail!("the old process spoke out of turn"),
        }
    }
}
