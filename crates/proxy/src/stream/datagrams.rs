//! A socket for the datagrams of many clients.

use std::cell::RefCell;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use bytes::Bytes;
use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt,
    sockopt,
};
use tokio::io::Interest;

/// A socket for the datagrams of many clients. It tells which of the machine's addresses each
/// datagram was sent to, and answers from there: a client takes answers from nowhere else.
pub(super) struct Datagrams {
    socket: tokio::net::UdpSocket,
    /// Room for what the system says beside a datagram.
    beside: RefCell<Vec<u8>>,
}

/// A datagram of a client.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) bytes: Bytes,
    pub(super) from: SocketAddr,
    /// The address that it was sent to; none when the system does not say.
    pub(super) to: Option<IpAddr>,
}

impl Datagrams {
    /// Takes over a socket that does not block.
    pub(super) fn new(socket: UdpSocket) -> io::Result<Self> {
        if socket.local_addr()?.is_ipv4() {
            setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        } else {
            setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        }
        Ok(Self {
            socket: tokio::net::UdpSocket::from_std(socket)?,
            beside: RefCell::new(nix::cmsg_space!(in_pktinfo, in6_pktinfo)),
        })
    }

    /// The next datagram, read by way of `scratch`.
    pub(super) async fn receive(&self, scratch: &RefCell<Box<[u8]>>) -> io::Result<Arrived> {
        self.socket
            .async_io(Interest::READABLE, || {
                self.try_receive(&mut scratch.borrow_mut())
            })
            .await
    }

    fn try_receive(&self, scratch: &mut [u8]) -> io::Result<Arrived> {
        let mut beside = self.beside.borrow_mut();
        let mut into = [IoSliceMut::new(scratch)];
        let received = recvmsg::<SockaddrStorage>(
            self.socket.as_raw_fd(),
            &mut into,
            Some(&mut beside),
            MsgFlags::empty(),
        )?;
        let from = received.address.as_ref().and_then(socket_address);
        let from = from.ok_or(io::ErrorKind::AddrNotAvailable)?;
        let to = received.cmsgs()?.find_map(|said| match said {
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                Some(IpAddr::from(info.ipi_addr.s_addr.to_ne_bytes()))
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => Some(IpAddr::from(info.ipi6_addr.s6_addr)),
            _ => None,
        });
        let length = received.bytes;
        Ok(Arrived {
            bytes: Bytes::copy_from_slice(&scratch[..length]),
            from,
            to,
        })
    }

    /// Sends one datagram `to` a client, as if it came `from` an address of this machine.
    pub(super) async fn send(
        &self,
        bytes: &[u8],
        to: SocketAddr,
        from: Option<IpAddr>,
    ) -> io::Result<()> {
        self.socket
            .async_io(Interest::WRITABLE, || self.try_send(bytes, to, from))
            .await
    }

    fn try_send(&self, bytes: &[u8], to: SocketAddr, from: Option<IpAddr>) -> io::Result<()> {
        let to = SockaddrStorage::from(to);
        let send = |beside: &[ControlMessage<'_>]| {
            sendmsg(
                self.socket.as_raw_fd(),
                &[IoSlice::new(bytes)],
                beside,
                MsgFlags::empty(),
                Some(&to),
            )
        };
        match from {
            None => send(&[]),
            Some(IpAddr::V4(ip)) => {
                let info = in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: in_addr {
                        s_addr: u32::from_ne_bytes(ip.octets()),
                    },
                    ipi_addr: in_addr { s_addr: 0 },
                };
                send(&[ControlMessage::Ipv4PacketInfo(&info)])
            }
            Some(IpAddr::V6(ip)) => {
                let info = in6_pktinfo {
                    ipi6_addr: in6_addr {
                        s6_addr: ip.octets(),
                    },
                    ipi6_ifindex: 0,
                };
                send(&[ControlMessage::Ipv6PacketInfo(&info)])
            }
        }?;
        Ok(())
    }
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address
        .as_sockaddr_in()
        .map(|own| SocketAddr::V4((*own).into()));
    v4.or_else(|| {
        address
            .as_sockaddr_in6()
            .map(|own| SocketAddr::V6((*own).into()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answered_from(bound: &str, asked: &str) -> SocketAddr {
        let Ok(socket) = UdpSocket::bind(bound) else {
            // A machine without IPv6.
            return asked.parse().unwrap();
        };
        socket.set_nonblocking(true).unwrap();
        let port = socket.local_addr().unwrap().port();
        let door = Datagrams::new(socket).unwrap();
        let asked: SocketAddr = asked.parse().unwrap();
        let own = SocketAddr::new(asked.ip(), 0);
        let client = tokio::net::UdpSocket::bind(own).await.unwrap();
        let there = SocketAddr::new(asked.ip(), port);
        client.send_to(b"ask", there).await.unwrap();
        let scratch = RefCell::new(vec![0; 64].into());
        let arrived = door.receive(&scratch).await.unwrap();
        assert_eq!(
            (&arrived.bytes[..], arrived.to),
            (&b"ask"[..], Some(asked.ip()))
        );
        door.send(b"answer", arrived.from, arrived.to)
            .await
            .unwrap();
        let mut answer = [0; 64];
        let (length, from) = client.recv_from(&mut answer).await.unwrap();
        assert_eq!((&answer[..length], from.port()), (&b"answer"[..], port));
        SocketAddr::new(from.ip(), asked.port())
    }

    #[tokio::test]
    async fn answers_come_from_the_address_that_was_asked() {
        for (bound, asked) in [
            ("0.0.0.0:0", "127.0.0.1:0"),
            ("0.0.0.0:0", "127.0.0.2:0"),
            ("[::]:0", "[::1]:0"),
        ] {
            assert_eq!(answered_from(bound, asked).await, asked.parse().unwrap());
        }
    }
}
