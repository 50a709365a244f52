//! Messages and open files between two processes of a node.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::cmsg_space;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use serde::{Deserialize, Serialize};

/// Open files that one message may carry; the system allows 253.
pub(super) const FILES: usize = 128;

/// Longest message.
const LONGEST: usize = 16 * 1024;

/// What one process says to the other.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Message {
    /// To the new one: listening sockets. Several messages where they are many.
    Sockets {
        /// What they listen for.
        name: String,
    },
    /// To the new one: the lock on the process id, with the directory of the node.
    Claim {
        /// The `prefix` of the old process.
        prefix: PathBuf,
        /// Whether the old process serves a configuration, so that the new one must, too.
        serving: bool,
    },
    /// To the new one: the keys of session tickets, in a file without a name.
    Tickets,
    /// To the new one: a configuration, in a file without a name.
    Configuration {
        /// Its hash in Kong's terms.
        hash: String,
    },
    /// To the new one: that was all.
    All,
    /// To the old one: the new one serves.
    Ready,
    /// To the new one: the old one has stopped its APIs.
    Yours,
}

/// One end.
#[derive(Debug)]
pub(super) struct Line(OwnedFd);

impl Line {
    /// Both ends.
    pub(super) fn pair() -> Result<(Self, Self)> {
        let (one, other) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .context("cannot make a pair of sockets")?;
        Ok((Self(one), Self(other)))
    }

    /// The end that this process was started with; its standard input is empty from now on.
    pub(super) fn standard_input() -> Result<Self> {
        let own = io::stdin().as_fd().try_clone_to_owned()?;
        rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
        Ok(Self(own))
    }

    /// How long [`Self::receive`] waits at the most.
    pub(super) fn set_patience(&self, patience: Duration) -> Result<()> {
        set_socket_timeout(&self.0, Timeout::Recv, Some(patience))?;
        Ok(())
    }

    /// Sends a message with open files.
    pub(super) fn send(&self, message: &Message, files: &[OwnedFd]) -> Result<()> {
        let text = serde_json::to_vec(message)?;
        ensure!(text.len() <= LONGEST, "a message is too long");
        let files: Vec<BorrowedFd<'_>> = files.iter().map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(FILES))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !files.is_empty() {
            ensure!(
                control.push(SendAncillaryMessage::ScmRights(&files)),
                "a message carries too many open files"
            );
        }
        rustix::net::sendmsg(
            &self.0,
            &[IoSlice::new(&text)],
            &mut control,
            SendFlags::NOSIGNAL,
        )
        .context("the other process is gone")?;
        Ok(())
    }

    /// Waits for a message; none when the other process has closed its end.
    pub(super) fn receive(&self) -> Result<Option<(Message, Vec<OwnedFd>)>> {
        let mut text = vec![0; LONGEST];
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(FILES))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            let received = rustix::net::recvmsg(
                &self.0,
                &mut [IoSliceMut::new(&mut text)],
                &mut control,
                RecvFlags::CMSG_CLOEXEC,
            );
            match received {
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => bail!("the other process says nothing"),
                Err(rustix::io::Errno::CONNRESET) => return Ok(None),
                received => break received.context("the other process cannot be heard")?,
            }
        };
        if received.bytes == 0 {
            return Ok(None);
        }
        ensure!(
            !received
                .flags
                .intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC),
            "a message came in part only; is the limit of open files reached?"
        );
        let mut files = Vec::new();
        for part in control.drain() {
            if let RecvAncillaryMessage::ScmRights(sent) = part {
                files.extend(sent);
            }
        }
        let message = serde_json::from_slice(&text[..received.bytes])
            .context("the other process says something else: its version is too different")?;
        Ok(Some((message, files)))
    }
}

impl From<Line> for Stdio {
    fn from(line: Line) -> Self {
        Self::from(line.0)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Seek as _, Write as _};

    use super::*;

    #[test]
    fn messages_arrive_whole_with_their_files() {
        let (one, other) = Line::pair().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"content").unwrap();
        let files: Vec<OwnedFd> = (0..FILES)
            .map(|_| file.try_clone().unwrap().into())
            .collect();
        let name = "tcp/127.0.0.1:80".to_owned();
        one.send(&Message::Sockets { name }, &files).unwrap();
        one.send(&Message::All, &[]).unwrap();
        let (message, mut files) = other.receive().unwrap().unwrap();
        assert!(matches!(message, Message::Sockets { name } if name.ends_with(":80")));
        assert_eq!(files.len(), FILES);
        let mut file = std::fs::File::from(files.pop().unwrap());
        let mut text = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "content");
        let (message, files) = other.receive().unwrap().unwrap();
        assert!(matches!(message, Message::All) && files.is_empty());
        drop(one);
        assert!(other.receive().unwrap().is_none());
    }

    #[test]
    fn silence_is_not_waited_for_for_ever() {
        let (_one, other) = Line::pair().unwrap();
        other.set_patience(Duration::from_millis(1)).unwrap();
        assert!(other.receive().is_err());
    }
}
