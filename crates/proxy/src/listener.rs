//! Sockets that clients connect to.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use crate::settings::Listen;

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on {address}: {source}; choose another address in proxy_listen, or end what uses it"
)]
pub struct ListenError {
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
        let mut address = listen.address;
        for sockets in &mut of_workers {
            let failed = |source| ListenError { address, source };
            let socket = open(address, listen.backlog).map_err(failed)?;
            // Port 0 means the same free port for all workers.
            address = socket.local_addr().map_err(failed)?;
            sockets.push(socket);
        }
        addresses.push(address);
    }
    Ok((addresses, of_workers))
}

fn open(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}
