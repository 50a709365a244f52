//! Sockets that clients connect to.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use crate::settings::Listen;

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on {address}: {source}; choose another address in {setting}, or end what uses it"
)]
pub struct ListenError {
    /// The setting that names it.
    pub setting: &'static str,
    /// The address.
    pub address: SocketAddr,
    /// What the system says.
    pub source: io::Error,
}

/// One socket per worker for every address; the system spreads connections over them.
pub(crate) fn bind(
    listen: &[Listen],
    workers: usize,
) -> Result<(Vec<SocketAddr>, Vec<Vec<TcpListener>>), ListenError> {
    let mut addresses = Vec::with_capacity(listen.len());
    let mut of_workers: Vec<Vec<TcpListener>> = (0..workers).map(|_| Vec::new()).collect();
    for listen in listen {
        let opened = |address| {
            let socket = open(address, listen.backlog)?;
            Ok((socket.local_addr()?, socket))
        };
        let bound = spread("proxy_listen", listen.address, &mut of_workers, opened)?;
        addresses.push(bound);
    }
    Ok((addresses, of_workers))
}

/// Opens one socket per worker at `address`; returns where they are.
pub(crate) fn spread<S>(
    setting: &'static str,
    mut address: SocketAddr,
    of_workers: &mut [Vec<S>],
    open: impl Fn(SocketAddr) -> io::Result<(SocketAddr, S)>,
) -> Result<SocketAddr, ListenError> {
    for sockets in of_workers {
        let (bound, socket) = open(address).map_err(|source| ListenError {
            setting,
            address,
            source,
        })?;
        // Port 0 means the same free port for all workers.
        address = bound;
        sockets.push(socket);
    }
    Ok(address)
}

/// A socket for connections.
pub(crate) fn open(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = bound(address, Type::STREAM, Protocol::TCP)?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

/// A socket at `address` beside those of the other workers.
pub(crate) fn bound(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}
