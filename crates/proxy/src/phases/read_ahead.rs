//! The body of a response as it is read, while a client that is slow to take it does not hold up its
//! upstream.
//!
//! As long as the client takes every piece at once nothing is held, and nothing copied. When it does
//! not, what the upstream sends meanwhile is read up to a bound, and the upstream's connection is free
//! for another request as soon as the end was read.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap as Trailers;

use crate::upstream::{Call, Fault, Pool};

/// Beyond this length, in bytes, nothing more is read for a client that is slow; what comes in one read
/// may exceed it.
const READ_AHEAD: usize = 64 * 1024;

/// The call that the body belongs to.
pub(super) enum Source<'c> {
    /// Its request was sent: it ends with its response.
    Sent(Option<Call>),
    /// Its request is still on its way up.
    Sending(&'c Call),
}

/// The body of a response.
pub(super) struct Body<'c> {
    source: Source<'c>,
    pool: &'c Pool,
    /// What was read and waits for the client, and its length in bytes.
    ahead: VecDeque<Bytes>,
    held: usize,
    /// What was found after that.
    end: Option<Result<(), Fault>>,
    trailers: Option<Box<Trailers>>,
}

impl<'c> Body<'c> {
    pub(super) fn new(source: Source<'c>, pool: &'c Pool) -> Self {
        Self {
            source,
            pool,
            ahead: VecDeque::new(),
            held: 0,
            end: None,
            trailers: None,
        }
    }

    /// The call, unless it has ended with its response.
    pub(super) fn call(&self) -> Option<&Call> {
        match &self.source {
            Source::Sent(call) => call.as_ref(),
            Source::Sending(call) => Some(call),
        }
    }

    /// The next piece; none at the end.
    pub(super) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, Fault>> {
        if let Some(piece) = self.ahead.pop_front() {
            self.held -= piece.len();
            return Poll::Ready(Ok(Some(piece)));
        }
        match self.end.take() {
            Some(Ok(())) => Poll::Ready(Ok(None)),
            Some(Err(fault)) => Poll::Ready(Err(fault)),
            None => self.poll_read(cx),
        }
    }

    /// Whether no data follows, as far as is known without waiting.
    pub(super) fn has_ended(&self) -> bool {
        self.ahead.is_empty()
            && match &self.end {
                Some(end) => end.is_ok(),
                None => self.call().is_none_or(Call::has_ended),
            }
    }

    /// The fields after the body, once its end was found; given once.
    pub(super) fn trailers(&mut self) -> Option<Box<Trailers>> {
        let told = self.call().and_then(Call::trailers);
        told.map(Box::new).or_else(|| self.trailers.take())
    }

    /// Ends the call, whose response was read to its end.
    pub(super) fn release(&mut self) {
        if let Source::Sent(call) = &mut self.source
            && let Some(call) = call.take()
        {
            self.trailers = call.trailers().map(Box::new);
            call.finish(true, self.pool);
        }
    }

    /// Awaits that the client takes a piece. While it does not, the upstream is read, if `may_read` says
    /// so when that begins.
    pub(super) async fn alongside<T>(
        &mut self,
        write: impl Future<Output = T>,
        may_read: impl Fn() -> bool,
    ) -> T {
        let mut write = pin!(write);
        let mut reads = None;
        poll_fn(|cx| {
            if let Poll::Ready(done) = write.as_mut().poll(cx) {
                return Poll::Ready(done);
            }
            if *reads.get_or_insert_with(|| self.can_read_ahead() && may_read()) {
                self.read_ahead(cx);
            }
            Poll::Pending
        })
        .await
    }

    /// Over HTTP/2 an upstream that waits for one stream is free for others.
    fn can_read_ahead(&self) -> bool {
        matches!(&self.source, Source::Sent(Some(Call::Http1(_))))
    }

    fn read_ahead(&mut self, cx: &mut Context<'_>) {
        while self.end.is_none() && self.held < READ_AHEAD {
            match self.poll_read(cx) {
                Poll::Ready(Ok(Some(piece))) => {
                    self.held += piece.len();
                    self.ahead.push_back(piece);
                }
                Poll::Ready(Ok(None)) => {
                    self.end = Some(Ok(()));
                    self.release();
                }
                Poll::Ready(Err(fault)) => self.end = Some(Err(fault)),
                Poll::Pending => return,
            }
        }
    }

    fn poll_read(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Fault>> {
        match self.call() {
            Some(call) => call.poll_piece(cx),
            None => Poll::Ready(Ok(None)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use keelgate_socket::Engine;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;
    use crate::net::Timer;
    use crate::settings::Keepalive;
    use crate::upstream::{Links, Peer, ResponseHead};

    const LENGTH: usize = 4 * 1024 * 1024;

    #[tokio::test]
    async fn no_more_is_read_ahead_than_the_bound_and_all_of_it_goes_on() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serve = tokio::spawn(async move {
            let mut stream = listener.accept().await.unwrap().0;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(&vec![b'x'; LENGTH]).await.unwrap();
            stream
        });
        let (pool, timer) = (Pool::new(Keepalive::default()), Timer::default());
        let peer = Peer {
            address,
            tls: None,
            http2: false,
        };
        let (engine, links) = (Engine::epoll(), Links::new(Keepalive::default()));
        let limit = Duration::from_secs(60);
        let call = peer.call(&engine, &pool, &links, &timer, limit);
        let call = call.await.unwrap();
        let mut head = ResponseHead::default();
        poll_fn(|cx| call.poll_head(false, &mut head, cx))
            .await
            .unwrap();
        let mut body = Body::new(Source::Sent(Some(call)), &pool);

        // Until the bound is reached, and then for as long as there is something to read.
        let full = poll_fn(|cx| {
            body.read_ahead(cx);
            match body.held < READ_AHEAD {
                true => Poll::Pending,
                false => Poll::Ready(()),
            }
        });
        full.await;
        let held = body.held;
        for _ in 0..10 {
            tokio::task::yield_now().await;
            poll_fn(|cx| {
                body.read_ahead(cx);
                Poll::Ready(())
            })
            .await;
        }
        assert_eq!(body.held, held);
        assert!(held < 3 * READ_AHEAD, "{held}");

        let mut read = 0;
        while let Some(piece) = poll_fn(|cx| body.poll_piece(cx)).await.unwrap() {
            read += piece.len();
        }
        assert_eq!((read, body.held), (LENGTH, 0));
        drop(serve.await.unwrap());
    }
}
