//! The requests of one connection.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tower::ServiceExt as _;

use super::{Ended, Patience};
use crate::peer::Peer;

/// Largest head of a request.
const MAX_HEAD: usize = 64 << 10;

/// What a client that is still sending is given to see its answer, before the connection is closed.
const LINGER: Duration = Duration::from_secs(5);

/// Told to a client whose request has begun, and does not go on.
const TIMED_OUT: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// A connection, encrypted or not.
pub(super) type Stream = Box<dyn Duplex>;

pub(super) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// Whether the client begins as HTTP/2 does, without having been asked. No method begins so.
pub(super) async fn speaks_http2(socket: &TcpStream) -> std::io::Result<bool> {
    let mut start = [0; 3];
    let length = socket.peek(&mut start).await?;
    Ok(start[..length] == *b"PRI")
}

/// What serves requests, and whom.
pub(super) struct Requests {
    pub(super) router: Router,
    pub(super) peer: Peer,
    pub(super) patience: Patience,
}

impl Requests {
    async fn answer(
        router: Router,
        peer: Peer,
        patience: Patience,
        mut request: Request<Incoming>,
    ) -> Result<Response, std::convert::Infallible> {
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(patience);
        router.oneshot(request.map(axum::body::Body::new)).await
    }

    pub(super) async fn http1(self, stream: Stream, mut stopped: watch::Receiver<bool>) -> Ended {
        let patience = self.patience;
        let service = hyper::service::service_fn(move |request| {
            let (router, peer) = (self.router.clone(), self.peer.clone());
            Box::pin(Self::answer(router, peer, patience, request))
        });
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(patience.head)
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(stream), service);
        let ended = tokio::select! {
            ended = poll_fn(|context| connection.poll_without_shutdown(context)) => Some(ended),
            _ = stopped.wait_for(|stopped| *stopped) => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                Pin::new(&mut connection).graceful_shutdown();
                poll_fn(|context| connection.poll_without_shutdown(context)).await
            }
        };
        // What follows is no request: a node that stops does not wait for it.
        let is_stopping = *stopped.borrow();
        drop(stopped);
        let parts = connection.into_parts();
        let mut stream = parts.io.into_inner();
        if let Err(error) = &ended
            && error.is_timeout()
            && !parts.read_buf.is_empty()
        {
            stream.write_all(TIMED_OUT).await?;
        }
        stream.shutdown().await?;
        if !is_stopping {
            // Closed with something unread, the connection would be reset, and the answer lost.
            let rest = drain(&mut stream);
            let _ = tokio::time::timeout(LINGER, rest).await;
        }
        Ok(ended?)
    }

    pub(super) async fn http2(self, stream: Stream, mut stopped: watch::Receiver<bool>) -> Ended {
        let patience = self.patience;
        let service = hyper::service::service_fn(move |request| {
            let (router, peer) = (self.router.clone(), self.peer.clone());
            Self::answer(router, peer, patience, request)
        });
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_header_list_size(MAX_HEAD as u32)
            .keep_alive_interval(Some(patience.head));
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            ended = connection.as_mut() => return Ok(ended?),
            _ = stopped.wait_for(|stopped| *stopped) => {}
        }
        connection.as_mut().graceful_shutdown();
        Ok(connection.await?)
    }
}

/// Reads what still comes, and forgets it.
async fn drain(stream: &mut Stream) {
    let mut rest = vec![0; 16 << 10];
    while stream.read(&mut rest).await.is_ok_and(|read| read > 0) {}
}
