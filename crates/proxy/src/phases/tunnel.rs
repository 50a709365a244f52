//! Bytes in both directions after `101 Switching Protocols`.

use std::io;
use std::time::Duration;

use futures_util::future::{Either, select};

use crate::net::{Connection, Timer};

/// Carries bytes both ways until one side has closed and the other's bytes are through, or until
/// nothing moves for `idle`.
pub(super) async fn run(client: &Connection, upstream: &Connection, timer: &Timer, idle: Duration) {
    let up = std::pin::pin!(carry(client, upstream, timer, idle));
    let down = std::pin::pin!(carry(upstream, client, timer, idle));
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

async fn carry(
    from: &Connection,
    to: &Connection,
    timer: &Timer,
    idle: Duration,
) -> io::Result<()> {
    loop {
        let piece = from.input().split().freeze();
        if !piece.is_empty() {
            within(timer, idle, to.write(&[], piece)).await?;
        }
        if within(timer, idle, from.fill_long()).await? == 0 {
            return to.shutdown().await;
        }
    }
}

async fn within<T>(
    timer: &Timer,
    limit: Duration,
    wait: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    timer
        .limit(limit, wait)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
