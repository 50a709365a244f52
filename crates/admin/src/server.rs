//! Serves a router on listeners, plain and TLS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use crate::peer::Peer;

/// Time for a TLS handshake, and for a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Time that requests have to end once the node stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections at a time, over all listeners; more wait to be accepted.
const MAX_CONNECTIONS: usize = 4096;

/// Largest head of a request.
const MAX_HEAD: usize = 64 << 10;

/// Pause after a failure to accept (no file descriptors left, mostly).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

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
    shutdown: impl Future<Output = ()> + Send,
) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let (stopping, stopped) = tokio::sync::watch::channel(false);
    let mut accepting = JoinSet::new();
    for listener in listeners {
        let accept = accept(
            listener,
            router.clone(),
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
            if let Err(error) = connection(socket, address, tls, router, stopped).await {
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
    stopped: tokio::sync::watch::Receiver<bool>,
) -> Ended {
    socket.set_nodelay(true)?;
    match tls {
        Some(config) => {
            let handshake = TlsAcceptor::from(config).accept(socket);
            let stream = tokio::time::timeout(HEAD_TIMEOUT, handshake).await??;
            let peer = Peer::new(address, stream.get_ref().1.peer_certificates());
            requests(stream, peer, router, stopped).await
        }
        None => requests(socket, Peer::new(address, None), router, stopped).await,
    }
}

async fn requests(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    router: Router,
    mut stopped: tokio::sync::watch::Receiver<bool>,
) -> Ended {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(MAX_HEAD as u32)
        .keep_alive_interval(Some(HEAD_TIMEOUT));
    let service = tower::service_fn(move |mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        router.clone().oneshot(request.map(axum::body::Body::new))
    });
    let service = TowerToHyperService::new(service);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        _ = stopped.wait_for(|stopped| *stopped) => {}
    }
    connection.as_mut().graceful_shutdown();
    connection.await
}
