//! What the sessions of one worker share.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use rustls::ServerConfig;

use super::datagrams::Datagrams;
use super::listener::Socket;
use super::queue::Waiting;
use super::{StreamSettings, Transport, tcp, udp};
use crate::core::{Core, Draining, Served};

/// Bytes that are read at once. What a slow receiver leaves of them is all that a session keeps.
const SCRATCH: usize = 64 * 1024;

/// What the sessions of one worker share.
pub(crate) struct Streams {
    pub(super) core: Rc<Core>,
    /// How TLS is spoken to clients.
    pub(super) tls: Arc<ServerConfig>,
    /// What is read at the moment; used within one poll only.
    pub(super) scratch: RefCell<Box<[u8]>>,
    /// Bytes of datagrams that wait for their sessions.
    pub(super) waiting: Waiting,
    tcp_sessions: Cell<usize>,
    udp_sessions: Cell<usize>,
}

impl Streams {
    pub(super) fn settings(&self) -> &StreamSettings {
        &self.core.settings.stream
    }

    /// Room for one more session; none when there are as many as there may be.
    pub(super) fn admit(self: &Rc<Self>, transport: Transport) -> Option<Admitted> {
        let limits = &self.settings().limits;
        let limit = match transport {
            Transport::Tcp | Transport::Tls => limits.sessions,
            Transport::Udp => limits.udp_sessions,
        };
        let sessions = self.sessions(transport);
        if sessions.get() >= limit {
            return None;
        }
        sessions.set(sessions.get() + 1);
        Some(Admitted {
            streams: Rc::clone(self),
            transport,
            _served: match transport {
                Transport::Tcp | Transport::Tls => Some(Draining::connection(&self.core)),
                Transport::Udp => None,
            },
        })
    }

    /// Sessions at the moment. Datagrams can come in anybody's name, so they must not take the
    /// places of connections.
    fn sessions(&self, transport: Transport) -> &Cell<usize> {
        match transport {
            Transport::Tcp | Transport::Tls => &self.tcp_sessions,
            Transport::Udp => &self.udp_sessions,
        }
    }
}

/// A session's place among those of its worker.
pub(super) struct Admitted {
    streams: Rc<Streams>,
    transport: Transport,
    /// Its place among the connections of the worker, if it is one.
    _served: Option<Served>,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let sessions = self.streams.sessions(self.transport);
        sessions.set(sessions.get() - 1);
    }
}

/// Serves sessions on the worker that calls.
pub(crate) fn start(
    core: &Rc<Core>,
    tls: Arc<ServerConfig>,
    sockets: Vec<(usize, Socket)>,
) -> std::io::Result<()> {
    if sockets.is_empty() {
        return Ok(());
    }
    let streams = Rc::new(Streams {
        core: Rc::clone(core),
        tls,
        scratch: RefCell::new(vec![0; SCRATCH].into()),
        waiting: Waiting::default(),
        tcp_sessions: Cell::new(0),
        udp_sessions: Cell::new(0),
    });
    for (index, socket) in sockets {
        let listen = &core.settings.stream.listen[index];
        match socket {
            Socket::Tcp(socket) => {
                let listener = tokio::net::TcpListener::from_std(socket)?;
                let accept = tcp::accept(Rc::clone(&streams), listen.clone(), listener);
                tokio::task::spawn_local(accept);
            }
            Socket::Udp(socket) => {
                let local = socket.local_addr()?;
                let receive = udp::receive(Rc::clone(&streams), local, Datagrams::new(socket)?);
                tokio::task::spawn_local(receive);
            }
        }
    }
    Ok(())
}
