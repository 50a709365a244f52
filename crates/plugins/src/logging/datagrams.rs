//! Datagrams towards whoever is told about requests.

use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, sendmmsg};
use tokio::io::Interest;
use tokio::net::{UdpSocket, UnixDatagram};
use tokio::time::timeout;

use super::network::Address;

/// Datagrams that the kernel is handed with one call.
const AT_ONCE: usize = 64;

/// Sends datagrams, each by itself. All are tried; the error is that of the first that failed.
pub(crate) async fn send(
    address: &Address,
    limit: Duration,
    datagrams: impl Iterator<Item = &[u8]>,
) -> Result<(), String> {
    let send = async {
        let found = address.names.addresses(&address.host, address.port).await?;
        // Nobody says that nobody listens; the older family is where most receivers are.
        let peer = found.iter().find(|peer| peer.is_ipv4()).or(found.first());
        let peer = *peer.ok_or(io::ErrorKind::NotFound)?;
        let any = match peer.is_ipv4() {
            true => "0.0.0.0:0",
            false => "[::]:0",
        };
        let socket = UdpSocket::bind(any).await?;
        socket.connect(peer).await?;
        Socket::Udp(socket).send_all(datagrams).await
    };
    let sent = timeout(limit, send).await;
    sent.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(|problem| address.tell(&problem))
}

/// The same, to a socket of this machine.
pub(crate) async fn send_here(
    path: &Path,
    limit: Duration,
    datagrams: impl Iterator<Item = &[u8]>,
) -> Result<(), String> {
    let send = async {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        Socket::Unix(socket).send_all(datagrams).await
    };
    let sent = timeout(limit, send).await;
    sent.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(|problem| format!("{}: {problem}", path.display()))
}

/// A socket that is connected.
enum Socket {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

impl Socket {
    async fn send_all(&self, datagrams: impl Iterator<Item = &[u8]>) -> io::Result<()> {
        let all: Vec<IoSlice<'_>> = datagrams.map(IoSlice::new).collect();
        let mut rest = all.as_slice();
        let mut outcome = Ok(());
        while !rest.is_empty() {
            let sent = match self.send(rest).await {
                Ok(sent) => sent,
                // The first of them, which nobody tries again.
                Err(problem) => {
                    outcome = outcome.and(Err(problem));
                    1
                }
            };
            rest = rest.get(sent..).unwrap_or_default();
        }
        outcome
    }

    /// Sends some, once there is room; how many.
    async fn send(&self, datagrams: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Udp(socket) => {
                let send = || send_some(socket, datagrams);
                socket.async_io(Interest::WRITABLE, send).await
            }
            Self::Unix(socket) => {
                let send = || send_some(socket, datagrams);
                socket.async_io(Interest::WRITABLE, send).await
            }
        }
    }
}

/// Hands datagrams to the kernel; how many it took, before the first that it did not.
fn send_some(socket: impl AsFd, datagrams: &[IoSlice<'_>]) -> io::Result<usize> {
    let now = &datagrams[..datagrams.len().min(AT_ONCE)];
    let mut nothing: Vec<SendAncillaryBuffer<'_, '_, '_>> = Vec::with_capacity(now.len());
    nothing.resize_with(now.len(), SendAncillaryBuffer::default);
    let messages = now.chunks(1).zip(&mut nothing);
    let mut messages: Vec<MMsgHdr<'_>> = messages
        .map(|(datagram, nothing)| MMsgHdr::new(datagram, nothing))
        .collect();
    Ok(sendmmsg(socket, &mut messages, SendFlags::NOSIGNAL)?)
}

/// Puts lines together into datagrams of so many bytes, without the end of the last line of each; a
/// longer line goes by itself. They are pieces of the text, which ends with the end of a line.
pub(crate) fn packed(mut lines: &[u8], packet: usize) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let ends = memchr::memchr_iter(b'\n', lines);
        let mut end = None;
        for next in ends {
            if end.is_some() && next > packet {
                break;
            }
            end = Some(next);
        }
        let (datagram, rest) = lines.split_at(end?);
        lines = rest.get(1..).unwrap_or_default();
        Some(datagram)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_put_together_as_far_as_there_is_room() {
        let lines = b"aa\nbb\ncc\nddddddd\n";
        let packed = |packet| packed(lines, packet).collect::<Vec<_>>();
        assert_eq!(packed(5), [&b"aa\nbb"[..], b"cc", b"ddddddd"]);
        assert_eq!(packed(0).len(), 4);
        assert_eq!(packed(99).len(), 1);
    }

    #[tokio::test]
    async fn a_datagram_that_nobody_takes_does_not_keep_others_back() {
        let here = tempfile::tempdir().unwrap();
        let path = here.path().join("socket");
        let receiver = UnixDatagram::bind(&path).unwrap();
        let long = vec![b'x'; 8 << 20];
        let limit = Duration::from_secs(60);
        let datagrams = [&b"a"[..], &long, b"b"].into_iter();
        send_here(&path, limit, datagrams).await.unwrap_err();
        for expected in [b'a', b'b'] {
            let mut datagram = [0; 8];
            assert_eq!(receiver.recv(&mut datagram).await.unwrap(), 1);
            assert_eq!(datagram[0], expected);
        }
    }

    #[tokio::test]
    async fn more_are_sent_than_the_kernel_is_handed_at_once() {
        let receiver = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = Address {
            host: "127.0.0.1".to_owned(),
            port: receiver.local_addr().unwrap().port(),
            names: crate::names::Names::default(),
        };
        let all: Vec<_> = (0..2 * AT_ONCE + 1).map(|at| at.to_string()).collect();
        let datagrams = all.iter().map(String::as_bytes);
        send(&address, Duration::from_secs(60), datagrams)
            .await
            .unwrap();
        for expected in &all {
            let mut datagram = [0; 8];
            let length = receiver.recv(&mut datagram).await.unwrap();
            assert_eq!(&datagram[..length], expected.as_bytes());
        }
    }
}
