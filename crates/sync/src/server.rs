//! The end of the control plane.
//!
//! Each connection is one task that reads reports and writes documents. A document is compressed
//! once ([`publication`]); the tasks share its bytes, and each takes the newest one whenever it is
//! done with the last, so that a slow data plane delays nobody and skips what is outdated.

mod outbox;
mod publication;
mod session;
mod upgrade;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use keelgate_snapshot::Snapshot;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use self::publication::Publication;
use self::session::Session;
use crate::{DEFAULT_MAX_PAYLOAD, DataPlanes, PluginVersion, TlsError, Trust, tls};

/// Connections that may be in their handshake at one time: strangers cost no more than this.
const MAX_HANDSHAKES: usize = 1024;

/// Wait after an error of the listener, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// First byte of a TLS handshake.
const TLS_HANDSHAKE: u8 = 0x16;

/// Settings of a control plane's end.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The cluster certificate (followed by its chain).
    pub cert_pem: String,
    /// Its key.
    pub key_pem: String,
    /// Which data planes may connect.
    pub trust: Trust,
    /// The level of Kong's interfaces that this node speaks.
    pub kong_version: String,
    /// The plugins of this node.
    pub plugins: Vec<PluginVersion>,
    /// Times and sizes.
    pub limits: ServerLimits,
}

/// Times and sizes of a control plane's end.
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    /// For each of TLS and the upgrade.
    pub handshake: Duration,
    /// From the upgrade to the first message.
    pub basic_info: Duration,
    /// Without a ping, after which a data plane counts as gone.
    pub silence: Duration,
    /// Between two documents: changes that follow one another closer travel as one.
    pub pause: Duration,
    /// Largest message that is accepted from a data plane, in bytes.
    pub max_payload: usize,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            basic_info: Duration::from_secs(5),
            silence: Duration::from_secs(45),
            pause: Duration::from_millis(50),
            max_payload: DEFAULT_MAX_PAYLOAD,
        }
    }
}

/// Serves data planes.
pub struct Server {
    context: Arc<Context>,
    acceptor: TlsAcceptor,
}

/// What all connections share.
struct Context {
    kong_version: String,
    plugins: Vec<PluginVersion>,
    limits: ServerLimits,
    data_planes: Arc<DataPlanes>,
    connections: AtomicU64,
}

/// What a new connection needs.
#[derive(Clone)]
struct Shared {
    context: Arc<Context>,
    acceptor: TlsAcceptor,
    publications: watch::Receiver<Option<Arc<Publication>>>,
    handshakes: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Server {
    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// When certificates or keys cannot be used.
    pub fn new(config: ServerConfig, data_planes: Arc<DataPlanes>) -> Result<Self, TlsError> {
        let tls = tls::server(&config.cert_pem, &config.key_pem, &config.trust)?;
        Ok(Self {
            context: Arc::new(Context {
                kong_version: config.kong_version,
                plugins: config.plugins,
                limits: config.limits,
                data_planes,
                connections: AtomicU64::new(0),
            }),
            acceptor: TlsAcceptor::from(Arc::new(tls)),
        })
    }

    /// Serves until `stop` is cancelled, then closes all connections with a close frame.
    ///
    /// Data planes get the newest snapshot when they connect and each one that follows; while
    /// there is none, they are kept waiting.
    pub async fn run(
        self,
        listeners: Vec<TcpListener>,
        snapshots: watch::Receiver<Option<Snapshot>>,
        stop: CancellationToken,
    ) {
        let publications = watch::Sender::new(None);
        let shared = Shared {
            publications: publications.subscribe(),
            acceptor: self.acceptor,
            handshakes: Arc::new(Semaphore::new(MAX_HANDSHAKES)),
            stop: stop.clone(),
            context: Arc::clone(&self.context),
        };
        let mut tasks = JoinSet::new();
        for listener in listeners {
            tasks.spawn(accept(listener, shared.clone()));
        }
        tokio::select! {
            () = publication::publish(snapshots, publications, self.context.limits.pause) => {}
            () = stop.cancelled() => {}
        }
        // Without a source of snapshots the connections are still kept.
        while tasks.join_next().await.is_some() {}
    }
}

/// Takes the connections of one listener until it is told to stop, and waits for their end.
async fn accept(listener: TcpListener, shared: Shared) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            () = shared.stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                connections.spawn(connection(stream, peer, shared.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection of a data plane");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    while connections.join_next().await.is_some() {}
}

async fn connection(stream: TcpStream, peer: SocketAddr, shared: Shared) {
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    let stop = shared.stop.clone();
    let established = tokio::select! {
        established = handshake(stream, peer, &shared) => established,
        () = stop.cancelled() => return,
    };
    match established {
        Ok(Some(session)) => session.run(shared.publications, stop).await,
        Ok(None) => {}
        Err(error) => tracing::warn!(%peer, "data plane refused: {error}"),
    }
}

/// From an accepted connection to an upgraded one; none when it was answered in another way.
async fn handshake(
    stream: TcpStream,
    peer: SocketAddr,
    shared: &Shared,
) -> Result<Option<Session>, HandshakeError> {
    let Ok(_permit) = shared.handshakes.try_acquire() else {
        return Err(HandshakeError::TooMany);
    };
    let limit = shared.context.limits.handshake;
    stream.set_nodelay(true)?;
    let mut first = [0];
    if timeout(limit, stream.peek(&mut first)).await?? == 0 {
        return Ok(None);
    }
    if first[0] != TLS_HANDSHAKE {
        let mut stream = stream;
        timeout(limit, stream.write_all(upgrade::PLAIN_HTTP.as_bytes())).await??;
        return Ok(None);
    }
    let tls = timeout(limit, shared.acceptor.accept(stream)).await??;
    let Some(upgraded) = timeout(limit, upgrade::answer(tls)).await?? else {
        return Ok(None);
    };
    let number = shared.context.connections.fetch_add(1, Ordering::Relaxed);
    let context = Arc::clone(&shared.context);
    Ok(Some(Session::new(context, number, peer, upgraded)))
}

/// Why a connection did not become a session.
#[derive(Debug, thiserror::Error)]
enum HandshakeError {
    #[error("more than {MAX_HANDSHAKES} connections are in their handshake")]
    TooMany,
    #[error("the handshake took too long")]
    Timeout(#[from] tokio::time::error::Elapsed),
    #[error("{}", tls::explain(.0).0)]
    Io(#[from] std::io::Error),
}
