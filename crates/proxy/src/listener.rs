//! Sockets that clients connect to.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::settings::Listen;
use crate::sockets::Sockets;

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

/// The sockets of all workers.
#[derive(Debug)]
pub(crate) struct Bound<S> {
    /// What is listened on, in the order of the settings.
    pub(crate) addresses: Vec<SocketAddr>,
    /// For each worker its sockets, with the index of what they listen for.
    pub(crate) of_workers: Vec<Vec<(usize, S)>>,
}

impl<S> Bound<S> {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            addresses: Vec::new(),
            of_workers: (0..workers).map(|_| Vec::new()).collect(),
        }
    }
}

/// Sockets that come from another proxy, and those that another one may go on with.
pub(crate) struct Passing<'h> {
    handed: &'h mut Sockets,
    pub(crate) copies: Sockets,
}

impl<'h> Passing<'h> {
    pub(crate) fn new(handed: &'h mut Sockets) -> Self {
        Self {
            handed,
            copies: Sockets::default(),
        }
    }
}

/// A socket per worker for every address; the system spreads connections over them.
pub(crate) fn bind(
    listen: &[Listen],
    workers: usize,
    passing: &mut Passing<'_>,
) -> Result<Bound<TcpListener>, ListenError> {
    let mut bound = Bound::new(workers);
    for listen in listen {
        spread(
            "proxy_listen",
            listen.address,
            &mut bound,
            passing,
            |handed, address| {
                let socket = match handed {
                    Some(socket) => take_over(socket, listen.backlog)?,
                    None => open(address, listen.backlog)?,
                };
                Ok((socket.local_addr()?, socket))
            },
        )?;
    }
    Ok(bound)
}

/// Opens one socket per worker at `address`. What was handed over for it is used before a new one is
/// made, all of it: connections wait in each.
pub(crate) fn spread<S: AsFd>(
    setting: &'static str,
    mut address: SocketAddr,
    bound: &mut Bound<S>,
    passing: &mut Passing<'_>,
    open: impl Fn(Option<OwnedFd>, SocketAddr) -> io::Result<(SocketAddr, S)>,
) -> Result<(), ListenError> {
    let name = format!("{setting}/{address}");
    let (index, workers) = (bound.addresses.len(), bound.of_workers.len());
    let mut handed = passing.handed.take(&name).into_iter();
    let mut copies = Vec::with_capacity(workers);
    for turn in 0.. {
        let next = handed.next();
        if next.is_none() && turn >= workers {
            break;
        }
        let failed = |source| ListenError {
            setting,
            address,
            source,
        };
        let (at, socket) = open(next, address).map_err(failed)?;
        copies.push(socket.as_fd().try_clone_to_owned().map_err(failed)?);
        // Port 0 means the same free port for all workers.
        address = at;
        bound.of_workers[turn % workers].push((index, socket));
    }
    bound.addresses.push(address);
    passing.copies.add(name, copies);
    Ok(())
}

/// A socket for connections that another proxy has accepted from.
pub(crate) fn take_over(socket: OwnedFd, backlog: u32) -> io::Result<TcpListener> {
    let socket = TcpListener::from(socket);
    socket.set_nonblocking(true)?;
    // Listening once more changes the length of the queue, not what waits in it.
    SockRef::from(&socket).listen(length(backlog))?;
    Ok(socket)
}

/// A socket for connections.
pub(crate) fn open(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = bound(address, Type::STREAM, Protocol::TCP)?;
    socket.listen(length(backlog))?;
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

fn length(backlog: u32) -> i32 {
    i32::try_from(backlog).unwrap_or(i32::MAX)
}
