//! Sessions over UDP: the datagrams of one client, and the answers to them, until both are silent.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use keelgate_entities::kinds::Protocol;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::account::Account;
use super::datagrams::{Arrived, Datagrams};
use super::gate::Visitor;
use super::peers::Peers;
use super::queue::{Queue, Queued};
use super::refusal::Refusal;
use super::streams::Admitted;
use super::{Streams, Transport};
use crate::core::{Accepting, FRESH};
use crate::upstream::Fault;
use crate::worker::REST;

/// A listener and its sessions.
struct Door {
    socket: Datagrams,
    local: SocketAddr,
    /// Clients choose their addresses, hence a keyed hasher.
    sessions: RefCell<HashMap<Ends, Queue>>,
    /// A worker that drains waits for the door to be shut, which is after the last session.
    _open: Accepting,
}

/// What makes datagrams those of one session: the client, and the address that it asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Ends {
    client: SocketAddr,
    asked: Option<IpAddr>,
}

/// Takes datagrams until the worker drains.
pub(super) async fn receive(streams: Rc<Streams>, local: SocketAddr, socket: Datagrams) {
    let door = Rc::new(Door {
        socket,
        local,
        sessions: RefCell::default(),
        _open: Accepting::new(&streams.core),
    });
    let mut drain = pin!(streams.core.draining.started());
    loop {
        let arrived = tokio::select! {
            biased;
            arrived = door.socket.receive(&streams.scratch) => arrived,
            () = &mut drain => return,
        };
        match arrived {
            Ok(arrived) => door.take(&streams, arrived),
            Err(error) => {
                tracing::warn!(address = %door.local, %error, "cannot receive a datagram");
                tokio::time::sleep(REST).await;
            }
        }
    }
}

impl Door {
    /// Hands a datagram to its session, or begins one.
    fn take(self: &Rc<Self>, streams: &Rc<Streams>, arrived: Arrived) {
        let ends = Ends {
            client: arrived.from,
            asked: arrived.to,
        };
        if let Some(queue) = self.sessions.borrow().get(&ends) {
            queue.put(&streams.waiting, arrived.bytes);
            return;
        }
        let Some(admitted) = streams.admit(Transport::Udp) else {
            tracing::debug!(client = %ends.client, "{}", Refusal::Full);
            return;
        };
        let (queue, queued) = Queue::new();
        queue.put(&streams.waiting, arrived.bytes);
        self.sessions.borrow_mut().insert(ends, queue);
        let session = Session {
            streams: Rc::clone(streams),
            door: Rc::clone(self),
            account: Account::open(streams, Transport::Udp, ends.client.ip()),
            ends,
            _admitted: admitted,
        };
        tokio::task::spawn_local(session.run(queued));
    }
}

/// One client's session at a door.
struct Session {
    streams: Rc<Streams>,
    door: Rc<Door>,
    account: Account,
    ends: Ends,
    _admitted: Admitted,
}

/// Why datagrams stopped to move between a client and an address.
enum Stop {
    /// The address has answered.
    Answered,
    /// The address had time enough to refuse.
    Unrefused,
    /// Nothing moved for as long as it may.
    Silent,
    /// Nobody takes datagrams at the address.
    Refused(io::Error),
}

impl Session {
    async fn run(self, queued: mpsc::Receiver<Queued>) {
        let draining = &self.streams.core.draining;
        // A datagram has no end to wait for: whoever waits for an answer is given a moment.
        let served = draining.within(FRESH, self.serve(queued)).await;
        if let Some(Err(refusal)) = served {
            self.account.status.set(refusal.status());
            let (client, listener) = (self.ends.client, self.door.local);
            // Anybody can send datagrams in anybody's name: no line for each of them.
            tracing::debug!(%client, %listener, %refusal, "a session was refused");
        }
    }

    async fn serve(&self, queued: mpsc::Receiver<Queued>) -> Result<(), Refusal> {
        let core = &*self.streams.core;
        let runtime = core.runtime();
        let client = self.ends.client;
        let visitor = Visitor {
            protocol: Protocol::Udp,
            source: client,
            peer: client,
            local: core.settings.seen_from_outside(SocketAddr::new(
                self.ends.asked.unwrap_or(self.door.local.ip()),
                self.door.local.port(),
            )),
            name: None,
        };
        let routed = visitor.route(&runtime)?;
        self.account.route(&routed, &visitor.client());
        let entry = visitor.pass(&routed)?;
        let service = &entry.service;
        if service.protocol.is_tls() {
            return Err(Refusal::NotOverUdp);
        }
        let refusable = Duration::from_millis(service.connect_timeout);
        let mut peers = Peers::new(core, &runtime, entry, client.ip());
        let mut left = service.retries;
        let mut talk = Talk {
            session: self,
            queued,
            unanswered: None,
            moved_at: Instant::now(),
            patience: Duration::from_millis(service.read_timeout),
        };
        // Until an address answers, or had time enough to refuse, another may take its place.
        let (socket, _open) = loop {
            let choosing = Instant::now();
            let peer = peers.next().await?;
            self.account.try_at(peer.address, choosing.into_std());
            let began = Instant::now();
            let error = match connect(peer.address).await {
                Ok(socket) => match talk.open(&socket, began + refusable).await {
                    Stop::Answered => {
                        peer.took(began.elapsed());
                        break (socket, peer.into_open());
                    }
                    Stop::Unrefused => break (socket, peer.into_open()),
                    Stop::Silent => return Ok(()),
                    Stop::Refused(error) => error,
                },
                Err(error) => error,
            };
            let (address, fault) = (peer.address, Fault::Connect(error));
            peer.failed(&fault);
            let refusal = Refusal::Unreachable { address, fault };
            self.account.try_failed(refusal.status());
            if left == 0 {
                return Err(refusal);
            }
            left -= 1;
            tracing::debug!(%refusal, "trying the next address");
        };
        // A long session must not hold a whole configuration in memory.
        drop(runtime);
        if let Stop::Refused(error) = talk.run(&socket, None).await {
            tracing::debug!(%client, %error, "a session was cut short");
        }
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.door.sessions.borrow_mut().remove(&self.ends);
    }
}

/// A session's datagrams on their way.
struct Talk<'s> {
    session: &'s Session,
    queued: mpsc::Receiver<Queued>,
    /// The newest datagram to an address that has not answered.
    unanswered: Option<Bytes>,
    moved_at: Instant,
    /// How long nothing may move.
    patience: Duration,
}

impl Talk<'_> {
    /// Carries datagrams until the first answer, or until the address could have refused.
    async fn open(&mut self, socket: &UdpSocket, until: Instant) -> Stop {
        if let Some(refused) = &self.unanswered {
            // That this address refuses it too is told when it is read from.
            let _ = socket.send(refused).await;
        }
        let stop = self.run(socket, Some(until)).await;
        if !matches!(stop, Stop::Refused(_)) {
            self.unanswered = None;
        }
        stop
    }

    /// Carries datagrams both ways; with `until` no longer than [`Self::open`] says.
    async fn run(&mut self, socket: &UdpSocket, until: Option<Instant>) -> Stop {
        let Session {
            streams,
            door,
            account,
            ends,
            ..
        } = self.session;
        let first = self.moved_at + self.patience;
        let mut sleep = pin!(sleep_until(until.map_or(first, |until| until.min(first))));
        loop {
            tokio::select! {
                queued = self.queued.recv() => {
                    // The door keeps the other end until the session is over.
                    let Some(queued) = queued else { return Stop::Silent };
                    account.add_received(queued.bytes.len());
                    if until.is_some() {
                        self.unanswered = Some(queued.bytes.clone());
                    }
                    match socket.send(&queued.bytes).await {
                        Ok(sent) => {
                            account.add_upstream(0, sent);
                            self.moved_at = Instant::now();
                        }
                        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                            return Stop::Refused(error);
                        }
                        // Anything else is lost on the way.
                        _ => self.moved_at = Instant::now(),
                    }
                }
                answer = answer(socket, &streams.scratch) => {
                    let answer = match answer {
                        Ok(answer) => answer,
                        Err(error) => return Stop::Refused(error),
                    };
                    self.moved_at = Instant::now();
                    account.add_upstream(answer.len(), 0);
                    if door.socket.send(&answer, ends.client, ends.asked).await.is_ok() {
                        account.add_sent(answer.len());
                    }
                    if until.is_some() {
                        return Stop::Answered;
                    }
                }
                () = &mut sleep => {
                    let now = Instant::now();
                    let silent = self.moved_at + self.patience;
                    if now >= silent {
                        return Stop::Silent;
                    }
                    match until {
                        Some(until) if now >= until => return Stop::Unrefused,
                        Some(until) => sleep.as_mut().reset(until.min(silent)),
                        None => sleep.as_mut().reset(silent),
                    }
                }
            }
        }
    }
}

/// A socket that talks to `address` alone.
async fn connect(address: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(address).await?;
    Ok(socket)
}

/// The next datagram of the service, read by way of `scratch`.
async fn answer(socket: &UdpSocket, scratch: &RefCell<Box<[u8]>>) -> io::Result<Bytes> {
    loop {
        // That nobody takes datagrams at the address comes as an error, with nothing to read.
        let ready = socket.ready(Interest::READABLE | Interest::ERROR).await?;
        if ready.is_error() {
            let told = socket.try_io(Interest::ERROR, || {
                Err::<(), _>(
                    socket
                        .take_error()?
                        .unwrap_or(io::ErrorKind::WouldBlock.into()),
                )
            });
            told.or_else(unless_blocked)?;
        }
        let mut scratch = scratch.borrow_mut();
        match socket.try_recv(&mut scratch) {
            Ok(length) => return Ok(Bytes::copy_from_slice(&scratch[..length])),
            Err(error) => unless_blocked(error)?,
        }
    }
}

fn unless_blocked(error: io::Error) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::WouldBlock => Ok(()),
        _ => Err(error),
    }
}
