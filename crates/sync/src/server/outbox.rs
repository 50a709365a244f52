//! Writing frames to a data plane.
//!
//! A frame of a server is not masked, so a document goes out from the bytes that all connections
//! share: no copy is made per data plane, however many are slow.

use std::io;

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
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
    /// A frame was begun and not finished: nothing can follow it.
    broken: bool,
}

impl<W: AsyncWrite + Unpin> Outbox<W> {
    pub(super) fn new(io: W) -> Self {
        Self { io, broken: false }
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
        self.io.write_all_buf(&mut frame).await?;
        self.io.flush().await?;
        self.broken = false;
        Ok(())
    }
}
