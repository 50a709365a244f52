//! Serves a router on listeners, plain and TLS.

mod exchange;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::peer::Peer;

/// Time that requests have to end once the node stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections at a time, over all listeners; more wait to be accepted.
const MAX_CONNECTIONS: usize = 4096;

/// Pause after a failure to accept (no file descriptors left, mostly).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long clients are waited for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a TLS handshake, for the head of a request, and for the next request.
    pub head: Duration,
    /// For a whole body: the largest configuration over a slow line.
    pub body: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(30),
            body: Duration::from_secs(300),
        }
    }
}

/// One listening socket.
pub struct Listener {
    /// The socket, bound.
    pub socket: TcpListener,
    /// Present where the listener speaks TLS.
    pub tls: Option<Arc<ServerConfig>>,
}

/// Serves until `shutdown` is done, then lets requests in flight end.
pub async fn serve(
    listeners: Vec<Listener>,
    router: Router,
    patience: Patience,
    shutdown: impl Future<Output = ()> + Send,
) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let (stopping, stopped) = tokio::sync::watch::channel(false);
    let mut accepting = JoinSet::new();
    for listener in listeners {
        let accept = accept(
            listener,
            router.clone(),
            patience,
            Arc::clone(&places),
            stopped.clone(),
        );
        accepting.spawn(accept);
    }
    drop(stopped);
    shutdown.await;
    // Every connection and every accept loop sees it.
    let _ = stopping.send(true);
    let ended = async {
        while accepting.join_next().await.is_some() {}
        stopping.closed().await;
    };
    if tokio::time::timeout(DRAIN_TIMEOUT, ended).await.is_err() {
        tracing::warn!("Admin API requests were still running at the end of the drain time");
    }
}

async fn accept(
    listener: Listener,
    router: Router,
    patience: Patience,
    places: Arc<Semaphore>,
    mut stopped: tokio::sync::watch::Receiver<bool>,
) {
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            accepted = listener.socket.accept() => accepted,
            _ = stopped.wait_for(|stopped| *stopped) => return,
        };
        let (socket, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept an Admin API connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (router, tls, stopped) = (router.clone(), listener.tls.clone(), stopped.clone());
        tokio::spawn(async move {
            if let Err(error) = connection(socket, address, tls, router, patience, stopped).await {
                tracing::debug!(%error, "an Admin API connection ended early");
            }
            drop(place);
        });
    }
}

type Ended = Result<(), Box<dyn std::error::Error + Send + Sync>>;

async fn connection(
    socket: TcpStream,
    address: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
    router: Router,
    patience: Patience,
    stopped: tokio::sync::watch::Receiver<bool>,
) -> Ended {
    socket.set_nodelay(true)?;
    let within = async |peer, is_http2, stream: exchange::Stream| {
        let requests = exchange::Requests {
            router,
            peer,
            patience,
        };
        match is_http2 {
            true => requests.http2(stream, stopped).await,
            false => requests.http1(stream, stopped).await,
        }
    };
    match tls {
        Some(config) => {
            let handshake = TlsAcceptor::from(config).accept(socket);
            let stream = tokio::time::timeout(patience.head, handshake).await??;
            let session = stream.get_ref().1;
            let is_http2 = session.alpn_protocol() == Some(b"h2");
            let peer = Peer::new(address, session.peer_certificates());
            within(peer, is_http2, Box::new(stream)).await
        }
        None => {
            let speaks = exchange::speaks_http2(&socket);
            let is_http2 = tokio::time::timeout(patience.head, speaks).await??;
            within(Peer::new(address, None), is_http2, Box::new(socket)).await
        }
    }
}
