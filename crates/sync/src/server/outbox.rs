//! Writing frames to a data plane.
//!
//! A frame of a server is not masked, so a document goes out from the bytes that all connections
//! share: no copy is made per data plane, however many are slow.

use std::io;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// Room for the longest header that is not masked.
const MAX_HEADER: usize = 10;

/// Longest reason in a close frame: a control frame has at most 125 bytes, two for the code.
const MAX_REASON: usize = 123;

/// Close code of a peer that breaks a rule.
const POLICY: u16 = 1008;

/// The writing half of a websocket.
pub(super) struct Outbox<W> {
    io: W,
    /// How long a peer may take nothing: it may be slow, but not stand still with a whole document
    /// in hand.
    stall: Duration,
    /// A frame was begun and not finished: nothing can follow it.
    broken: bool,
}

impl<W: AsyncWrite + Unpin> Outbox<W> {
    pub(super) fn new(io: W, stall: Duration) -> Self {
        Self {
            io,
            stall,
            broken: false,
        }
    }

    pub(super) async fn document(&mut self, payload: Bytes) -> io::Result<()> {
        self.frame(OpCode::Data(Data::Binary), payload).await
    }

    pub(super) async fn pong(&mut self) -> io::Result<()> {
        self.frame(OpCode::Control(Control::Pong), Bytes::new())
            .await
    }

    /// Ends the connection, with a reason where the peer is known to read it.
    pub(super) async fn close(&mut self, reason: Option<&str>) -> io::Result<()> {
        if !self.broken {
            let payload = reason.map_or_else(Bytes::new, |reason| {
                let end = reason.floor_char_boundary(MAX_REASON);
                let mut payload = POLICY.to_be_bytes().to_vec();
                payload.extend_from_slice(&reason.as_bytes()[..end]);
                Bytes::from(payload)
            });
            self.frame(OpCode::Control(Control::Close), payload).await?;
        }
        self.io.shutdown().await
    }

    async fn frame(&mut self, opcode: OpCode, payload: Bytes) -> io::Result<()> {
        let mut head = Vec::with_capacity(MAX_HEADER);
        FrameHeader {
            opcode,
            ..FrameHeader::default()
        }
        .format(payload.len() as u64, &mut head)
        .map_err(io::Error::other)?;
        let mut frame = Bytes::from(head).chain(payload);
        self.broken = true;
        let stall = self.stall;
        let stalled = |_| {
            let seconds = stall.as_secs_f32();
            let reason = format!("the data plane has read nothing for {seconds} s");
            io::Error::new(io::ErrorKind::TimedOut, reason)
        };
        while frame.has_remaining() {
            let written = timeout(stall, self.io.write_buf(&mut frame));
            written.await.map_err(stalled)??;
        }
        timeout(stall, self.io.flush()).await.map_err(stalled)??;
        self.broken = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, duplex};
    use tokio::time::{Instant, sleep};

    use super::*;

    const STALL: Duration = Duration::from_secs(45);

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_slowly_gets_the_whole_document() {
        let (near, mut far) = duplex(16);
        let mut outbox = Outbox::new(near, STALL);
        let reading = tokio::spawn(async move {
            let mut read = 0;
            while read < 1000 {
                sleep(STALL / 2).await;
                read += far.read(&mut [0; 16]).await.unwrap();
            }
        });
        let document = outbox.document(Bytes::from(vec![0; 1000]));
        document.await.unwrap();
        reading.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_no_more_is_given_up() {
        let (near, _far) = duplex(16);
        let mut outbox = Outbox::new(near, STALL);
        let began = Instant::now();
        let document = outbox.document(Bytes::from(vec![0; 1000]));
        let error = document.await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() <= STALL + Duration::from_secs(1));
        assert!(outbox.broken);
    }
}
