//! The sockets that sessions come to.

use std::net::{SocketAddr, TcpListener, UdpSocket};

use socket2::{Protocol, Type};

use super::{StreamListen, Transport};
use crate::listener::{ListenError, bound, open, spread};

/// One listening socket of one worker.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpListener),
    Udp(UdpSocket),
}

/// One socket per worker for every address.
pub(crate) fn bind(
    listen: &[StreamListen],
    workers: usize,
) -> Result<(Vec<SocketAddr>, Vec<Vec<Socket>>), ListenError> {
    let mut of_workers: Vec<Vec<Socket>> = (0..workers).map(|_| Vec::new()).collect();
    let bound = listen.iter().map(|listen| {
        spread(
            "stream_listen",
            listen.address,
            &mut of_workers,
            |address| match listen.transport {
                Transport::Tcp | Transport::Tls => {
                    let socket = open(address, listen.backlog)?;
                    Ok((socket.local_addr()?, Socket::Tcp(socket)))
                }
                Transport::Udp => {
                    let socket: UdpSocket = bound(address, Type::DGRAM, Protocol::UDP)?.into();
                    Ok((socket.local_addr()?, Socket::Udp(socket)))
                }
            },
        )
    });
    let addresses = bound.collect::<Result<_, _>>()?;
    Ok((addresses, of_workers))
}
