//! Bytes in both directions after `101 Switching Protocols`.

use std::cell::Cell;
use std::io;
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::time::Instant;

use crate::net::{Connection, Timer};

/// Carries bytes both ways until one side has closed and the other's bytes are through, or until
/// nothing has moved for `idle` in either direction: many a client only listens.
pub(super) async fn run(client: &Connection, upstream: &Connection, timer: &Timer, idle: Duration) {
    let pace = Pace {
        timer,
        idle,
        moved: Cell::new(Instant::now()),
    };
    let up = std::pin::pin!(pace.carry(client, upstream));
    let down = std::pin::pin!(pace.carry(upstream, client));
    match select(up, down).await {
        // An error on one side ends both.
        Either::Left((Err(_), _)) | Either::Right((Err(_), _)) => {}
        // A client that has nothing more to say may still listen.
        Either::Left((Ok(()), down)) => {
            let _ = down.await;
        }
        Either::Right((Ok(()), _)) => {}
    }
}

/// What both directions know of each other.
struct Pace<'t> {
    timer: &'t Timer,
    idle: Duration,
    /// When bytes moved last, in whichever direction.
    moved: Cell<Instant>,
}

impl Pace<'_> {
    async fn carry(&self, from: &Connection, to: &Connection) -> io::Result<()> {
        loop {
            let piece = from.input().split().freeze();
            if !piece.is_empty() {
                self.within(to.write(&[], piece)).await?;
            }
            if self.within(from.fill_long()).await? == 0 {
                return to.shutdown().await;
            }
        }
    }

    async fn within<T>(&self, wait: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let mut wait = std::pin::pin!(wait);
        loop {
            let left = self.idle.saturating_sub(self.moved.get().elapsed());
            if let Ok(done) = self.timer.limit(left, wait.as_mut()).await {
                self.moved.set(Instant::now());
                return done;
            }
            if self.moved.get().elapsed() >= self.idle {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::net::Stream;

    async fn pair() -> (Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap());
        let (near, far) = tokio::join!(near, listener.accept());
        (
            Connection::new(Stream::Tcp(near.unwrap().into())),
            far.unwrap().0,
        )
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_only_listens_is_not_idle() {
        let (client, mut browser) = pair().await;
        let (upstream, mut server) = pair().await;
        let timer = Timer::default();
        let idle = Duration::from_secs(60);
        let talk = async {
            // Together far longer than either direction may be silent.
            for _ in 0..5 {
                server.write_all(b"x").await.unwrap();
                let mut piece = [0];
                browser.read_exact(&mut piece).await.unwrap();
                tokio::time::sleep(Duration::from_secs(50)).await;
            }
            let mut rest = Vec::new();
            assert_eq!(browser.read_to_end(&mut rest).await.unwrap(), 0);
        };
        let ends = async {
            run(&client, &upstream, &timer, idle).await;
            drop((client, upstream));
        };
        tokio::join!(ends, talk);
    }
}
