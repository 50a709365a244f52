//! HTTP/2 frame by frame, right or wrong.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::Client;

pub(crate) type Field<'a> = (&'a [u8], &'a [u8]);

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

pub(crate) const PROTOCOL_ERROR: u32 = 1;
pub(crate) const INTERNAL_ERROR: u32 = 2;
pub(crate) const FLOW_CONTROL_ERROR: u32 = 3;
pub(crate) const REFUSED_STREAM: u32 = 7;

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// A header block without compression.
pub(crate) fn block(fields: &[Field<'_>]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            add_length(text.len(), &mut block);
            block.extend_from_slice(text);
        }
    }
    block
}

fn add_length(length: usize, block: &mut Vec<u8>) {
    let Some(mut rest) = length.checked_sub(127) else {
        block.push(u8::try_from(length).unwrap());
        return;
    };
    block.push(127);
    while rest >= 128 {
        block.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    block.push(u8::try_from(rest).unwrap());
}

/// A frame as it came.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// Stops a thread that sends, once it is dropped.
pub(crate) struct Flood(Arc<AtomicBool>);

impl Drop for Flood {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One end of a connection.
pub(crate) struct Peer(Client<TcpStream>);

impl Peer {
    /// The server's end: greets a client that has connected, with these settings.
    pub(crate) fn greet(mut client: Client<TcpStream>, settings: &[(u16, u32)]) -> Self {
        let preface = client.exactly(24).unwrap();
        assert!(preface.starts_with(b"PRI * HTTP/2.0"));
        let mut server = Self(client);
        server.settle(settings);
        server
    }

    /// The client's end.
    pub(crate) fn dial(connection: Client<TcpStream>) -> Self {
        Self::dial_with(connection, &[])
    }

    /// The client's end, with these settings.
    pub(crate) fn dial_with(connection: Client<TcpStream>, settings: &[(u16, u32)]) -> Self {
        let mut client = Self(connection);
        client.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        client.settle(settings);
        client
    }

    fn settle(&mut self, settings: &[(u16, u32)]) {
        let mut payload = Vec::new();
        for (name, value) in settings {
            payload.extend_from_slice(&name.to_be_bytes());
            payload.extend_from_slice(&value.to_be_bytes());
        }
        self.send(SETTINGS, 0, 0, &payload);
    }

    /// Sends a frame over and over, in a thread of its own, until the other end has gone or `Flood` is
    /// dropped.
    pub(crate) fn flood(&self, frame: Vec<u8>) -> Flood {
        let mut stream = self.0.stream.try_clone().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) && stream.write_all(&frame).is_ok() {}
        });
        Flood(stop)
    }

    /// Sends a frame; whoever has gone is not told.
    pub(crate) fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.write(&frame(kind, flags, stream, payload));
    }

    /// Sends bytes; whether they could be written.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> bool {
        self.0.stream.write_all(bytes).is_ok()
    }

    /// The next frame that is about a stream, or the end; settings and pings are answered.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        loop {
            let head = self.0.exactly(9)?;
            let number = |bytes: &[u8]| {
                bytes
                    .iter()
                    .fold(0, |sum, &byte| sum << 8 | u32::from(byte))
            };
            let payload = self.0.exactly(number(&head[..3]) as usize)?;
            let (kind, flags) = (head[3], head[4]);
            match kind {
                SETTINGS if flags & ACK == 0 => self.send(SETTINGS, ACK, 0, &[]),
                PING if flags & ACK == 0 => self.send(PING, ACK, 0, &payload),
                DATA | HEADERS | RST_STREAM | GOAWAY => {
                    return Some(Frame {
                        kind,
                        flags,
                        stream: number(&head[5..]),
                        payload,
                    });
                }
                _ => {}
            }
        }
    }

    /// The code with which the other end ends a stream, or the connection.
    pub(crate) fn code(&mut self) -> (u8, u32) {
        loop {
            let frame = self.next().expect("an end with a code");
            let code = match frame.kind {
                RST_STREAM => &frame.payload[..4],
                GOAWAY => &frame.payload[4..8],
                _ => continue,
            };
            return (frame.kind, u32::from_be_bytes(code.try_into().unwrap()));
        }
    }

    /// The stream of the next request; none when the client is done.
    pub(crate) fn request(&mut self) -> Option<u32> {
        loop {
            let frame = self.next()?;
            match frame.kind {
                HEADERS => return Some(frame.stream),
                GOAWAY => return None,
                _ => {}
            }
        }
    }

    /// The body of a request from here on, to its end.
    pub(crate) fn body(&mut self, stream: u32) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let frame = self.next()?;
            if frame.kind == DATA && frame.stream == stream {
                body.extend_from_slice(&frame.payload);
                if frame.flags & END_STREAM != 0 {
                    return Some(body);
                }
            }
        }
    }

    /// A response with a body.
    pub(crate) fn answer(&mut self, stream: u32, body: &[u8]) {
        self.head(stream, &[]);
        self.send(DATA, END_STREAM, stream, body);
    }

    /// The head of a response with status 200, in one frame.
    pub(crate) fn head(&mut self, stream: u32, fields: &[Field<'_>]) {
        self.send(HEADERS, END_HEADERS, stream, &ok(fields));
    }

    pub(crate) fn reset(&mut self, stream: u32, reason: u32) {
        self.send(RST_STREAM, 0, stream, &reason.to_be_bytes());
    }

    /// Says that streams after `last` are not looked at.
    pub(crate) fn go_away(&mut self, last: u32, reason: u32) {
        let payload = [last.to_be_bytes(), reason.to_be_bytes()].concat();
        self.send(GOAWAY, 0, 0, &payload);
    }

    /// Reads until the client has gone.
    pub(crate) fn drain(&mut self) {
        while self.next().is_some() {}
    }
}

/// The block of a response with status 200.
pub(crate) fn ok(fields: &[Field<'_>]) -> Vec<u8> {
    // `:status: 200` has a byte of its own.
    [&[0x88], &*block(fields)].concat()
}
