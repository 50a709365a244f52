//! One thread that serves connections.

use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use keelgate_runtime::Shared;
use keelgate_socket::{Engine, Socket};
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::runtime::LocalOptions;
use tokio::sync::watch;
use tokio_rustls::{TlsAcceptor, TlsStream};

use crate::core::{Accepting, Core, Draining, FRESH};
use crate::downstream::{Client, http1, http2};
use crate::names::Names;
use crate::net::{Connection, Stream, client_certificate, proxy_protocol, tls_session};
use crate::settings::{Listen, Settings};
use crate::stream;

/// How long a listener rests when the system has no file left for another connection.
pub(crate) const REST: Duration = Duration::from_millis(50);

/// How many of those that wait in a queue are still served when draining starts.
const LAST: u32 = 16_384;

/// How a worker that is told to end does so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    /// What has not ended by itself until then is cut off.
    pub(crate) deadline: tokio::time::Instant,
    /// Time that an idle connection is given to be told with its next response.
    pub(crate) patience: Duration,
    /// Whether others accept what waits in the listeners' queues.
    pub(crate) is_succeeded: bool,
}

/// What a worker is given.
pub(crate) struct Worker {
    pub(crate) settings: Arc<Settings>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) names: Arc<Names>,
    /// Sockets, with the index of what they listen for in `settings.listen`.
    pub(crate) sockets: Vec<(usize, TcpListener)>,
    /// For listeners with and without HTTP/2.
    pub(crate) tls: [Arc<ServerConfig>; 2],
    /// The same for `settings.stream.listen`.
    pub(crate) stream_sockets: Vec<(usize, stream::listener::Socket)>,
    pub(crate) stream_tls: Arc<ServerConfig>,
    /// Whether connections are read and written by io_uring.
    pub(crate) io_uring: bool,
    /// Set when the worker is to end.
    pub(crate) stop: watch::Receiver<Option<End>>,
}

impl Worker {
    /// Serves until told to stop and every connection has ended, or the deadline has come.
    /// Returns how many connections were cut off.
    pub(crate) fn run(self) -> std::io::Result<usize> {
        keelgate_runtime::scheduling::answer_promptly();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .event_interval(61)
            .build_local(LocalOptions::default())?;
        runtime.block_on(self.serve())
    }

    fn engine(&self) -> Engine {
        if !self.io_uring {
            return Engine::epoll();
        }
        Engine::io_uring().unwrap_or_else(|error| {
            tracing::warn!(%error, "io_uring is not to be had any more: a worker uses epoll");
            Engine::epoll()
        })
    }

    async fn serve(mut self) -> std::io::Result<usize> {
        let core = Core::new(
            Arc::clone(&self.settings),
            Arc::clone(&self.shared),
            Arc::clone(&self.names),
            self.engine(),
        );
        for (index, socket) in self.sockets.drain(..) {
            let listen = &self.settings.listen[index];
            let listener = tokio::net::TcpListener::from_std(socket)?;
            let tls = Arc::clone(&self.tls[usize::from(listen.http2)]);
            tokio::task::spawn_local(listen_on(
                Rc::clone(&core),
                listen.clone(),
                TlsAcceptor::from(tls),
                listener,
            ));
        }
        stream::start(&core, self.stream_tls, self.stream_sockets)?;
        tokio::task::spawn_local(housekeeping(Rc::clone(&core)));

        // The handle dropped without a word means the same as an end at once.
        let stop = self.stop.wait_for(Option::is_some).await;
        let end = stop.ok().and_then(|end| *end);
        core.draining.start(end);
        let idle = core.draining.idle();
        if let Some(end) = end {
            let _ = tokio::time::timeout_at(end.deadline, idle).await;
        }
        Ok(core.draining.connections())
    }
}

/// Once a second: idle upstream connections, and a runtime that nobody asked for lately.
async fn housekeeping(core: Rc<Core>) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        tick.tick().await;
        core.pool.sweep();
        core.links.sweep();
        // Lets go of a runtime that was swapped out while this core was idle.
        drop(core.runtime());
    }
}

async fn listen_on(
    core: Rc<Core>,
    listen: Listen,
    tls: TlsAcceptor,
    listener: tokio::net::TcpListener,
) {
    accept_on(&core, listen.address, listener, |stream, peer| {
        let served = Draining::connection(&core);
        let core = Rc::clone(&core);
        let listen = listen.clone();
        let tls = tls.clone();
        tokio::task::spawn_local(async move {
            let _served = served;
            let Ok(local) = stream.local_addr() else {
                return;
            };
            let local = core.settings.seen_from_outside(local);
            let client = Client::new(peer, local, listen.tls);
            serve(core, &listen, tls, stream, client).await;
        });
    })
    .await;
}

/// Gives every connection to `each` until draining starts.
pub(crate) async fn accept_on(
    core: &Rc<Core>,
    address: SocketAddr,
    listener: tokio::net::TcpListener,
    each: impl Fn(TcpStream, SocketAddr),
) {
    let _accepting = Accepting::new(core);
    let mut last = 0;
    loop {
        tokio::select! {
            biased;
            () = core.draining.started() => {}
            () = core.draining.room(core) => {}
        }
        let accepted = if core.draining.is_on() {
            // Dropping the socket refuses what waits in its queue, unless somebody else holds it.
            // More may come all the time: no more than the queue can hold are served.
            last += 1;
            if !core.draining.empties_queues() || last > LAST {
                return;
            }
            match listener.accept().now_or_never() {
                Some(accepted) => accepted,
                None => return,
            }
        } else {
            tokio::select! {
                accepted = listener.accept() => accepted,
                () = core.draining.started() => continue,
            }
        };
        match accepted {
            Ok((stream, peer)) => each(stream, peer),
            Err(error) => {
                tracing::warn!(%address, %error, "cannot accept a connection");
                tokio::time::sleep(REST).await;
            }
        }
    }
}

/// A client that said which protocol it speaks.
enum Opened {
    Http1(Stream),
    Http2(Stream),
    /// Plain HTTP on a port for TLS.
    Mistaken(Socket),
}

async fn serve(
    core: Rc<Core>,
    listen: &Listen,
    tls: TlsAcceptor,
    stream: TcpStream,
    mut client: Client,
) {
    let _ = stream.set_nodelay(true);
    let opened = tokio::time::timeout(
        core.settings.client.header_timeout,
        open(&core.engine, listen, tls, stream, &mut client),
    );
    let Some(Ok(Some(opened))) = core.draining.within(FRESH, opened).await else {
        return;
    };
    match opened {
        Opened::Http1(stream) => http1::serve(core, client, Connection::new(stream)).await,
        Opened::Http2(stream) => http2::serve(core, client, stream).await,
        Opened::Mistaken(stream) => {
            http1::refuse_plain(&core, &client, Connection::new(Stream::Tcp(stream))).await;
        }
    }
}

/// Everything before HTTP; none when the connection is of no use.
async fn open(
    engine: &Engine,
    listen: &Listen,
    tls: TlsAcceptor,
    mut stream: TcpStream,
    client: &mut Client,
) -> Option<Opened> {
    if listen.proxy_protocol {
        match proxy_protocol::take(&mut stream).await {
            Ok(told) => client.told = told,
            Err(error) => {
                tracing::debug!(peer = %client.peer, %error, "connection refused");
                return None;
            }
        }
    }
    if !listen.tls {
        let http2 = listen.http2 && has_http2_preface(&stream).await;
        let stream = Stream::Tcp(engine.adopt(stream).ok()?);
        return Some(if http2 {
            Opened::Http2(stream)
        } else {
            Opened::Http1(stream)
        });
    }
    // The first byte of a TLS record tells it from plain HTTP.
    let mut first = [0];
    match stream.peek(&mut first).await {
        Ok(1) if first[0] == 0x16 => {}
        Ok(1) => return Some(Opened::Mistaken(engine.adopt(stream).ok()?)),
        _ => return None,
    }
    let stream = tls.accept(engine.adopt(stream).ok()?).await.ok()?;
    let session = stream.get_ref().1;
    let http2 = session.alpn_protocol() == Some(b"h2");
    client.sni = session.server_name().map(str::to_owned);
    client.session = tls_session::of(session);
    client.certificate = session
        .peer_certificates()
        .map(client_certificate::read)
        .map(Arc::new);
    let stream = Stream::Tls(Box::new(TlsStream::from(stream)));
    Some(if http2 {
        Opened::Http2(stream)
    } else {
        Opened::Http1(stream)
    })
}

/// Whether a client in clear begins with HTTP/2 (prior knowledge).
async fn has_http2_preface(stream: &TcpStream) -> bool {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0";
    const LONGEST_PAUSE: Duration = Duration::from_millis(128);
    let mut start = [0; PREFACE.len()];
    let mut pause = Duration::from_millis(1);
    loop {
        match stream.peek(&mut start).await {
            Ok(0) | Err(_) => return false,
            Ok(read) if start[..read] != PREFACE[..read] => return false,
            Ok(read) if read == PREFACE.len() => return true,
            // The rest is on its way; `peek` would return at once until it is there.
            Ok(_) => {
                tokio::time::sleep(pause).await;
                pause = (2 * pause).min(LONGEST_PAUSE);
            }
        }
    }
}
