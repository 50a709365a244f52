//! The sockets that sessions come to.

use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

use socket2::{Protocol, Type};

use super::{StreamListen, Transport};
use crate::listener::{Bound, ListenError, Passing, bound, open, spread, take_over};

/// One listening socket of one worker.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpListener),
    Udp(UdpSocket),
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Udp(socket) => socket.as_fd(),
        }
    }
}

/// One socket per worker for every address.
pub(crate) fn bind(
    listen: &[StreamListen],
    workers: usize,
    passing: &mut Passing<'_>,
) -> Result<Bound<Socket>, ListenError> {
    let mut sockets = Bound::new(workers);
    for listen in listen {
        let setting = match listen.transport {
            Transport::Tcp | Transport::Tls => "stream_listen",
            Transport::Udp => "stream_listen (udp)",
        };
        spread(
            setting,
            listen.address,
            &mut sockets,
            passing,
            |handed, address| match (listen.transport, handed) {
                (Transport::Udp, Some(socket)) => {
                    let socket = UdpSocket::from(socket);
                    socket.set_nonblocking(true)?;
                    Ok((socket.local_addr()?, Socket::Udp(socket)))
                }
                (Transport::Udp, None) => {
                    let socket: UdpSocket = bound(address, Type::DGRAM, Protocol::UDP)?.into();
                    Ok((socket.local_addr()?, Socket::Udp(socket)))
                }
                (Transport::Tcp | Transport::Tls, handed) => {
                    let socket = match handed {
                        Some(socket) => take_over(socket, listen.backlog)?,
                        None => open(address, listen.backlog)?,
                    };
                    Ok((socket.local_addr()?, Socket::Tcp(socket)))
                }
            },
        )?;
    }
    Ok(sockets)
}
