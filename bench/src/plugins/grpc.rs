//! A service of gRPC that answers every call with one message of 1 KiB.

use std::net::SocketAddr;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response};
use tokio::net::{TcpListener, TcpStream};

/// What the plugins know of it.
pub(super) const PROTO: &str = r#"
syntax = "proto3";
package bench;
import "google/api/annotations.proto";
service Echo {
  rpc Say(Message) returns (Message) {
    option (google.api.http) = { post: "/{route=*}/v1/say" body: "*" };
  }
}
message Message { string text = 1; string route = 2; }
"#;

/// The path of its only call.
pub(super) const CALL: &str = "/bench.Echo/Say";

/// The path that the description binds to it, below any route's.
pub(super) const BINDING: &str = "/v1/say";

/// A frame with a message of this text.
pub(super) fn framed(text: &str) -> Bytes {
    let mut message = BytesMut::new();
    message.put_u8(0x0a);
    let mut length = text.len();
    while length >= 0x80 {
        message.put_u8(length as u8 | 0x80);
        length >>= 7;
    }
    message.put_u8(length as u8);
    message.put_slice(text.as_bytes());
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(message.len() as u32);
    frame.put(message);
    frame.freeze()
}

/// Starts it on a thread of its own and returns where it listens.
pub(super) fn start() -> anyhow::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::spawn(move || {
        runtime.block_on(async move {
            let listener = TcpListener::from_std(listener)?;
            let answer = framed(&"x".repeat(1021));
            loop {
                let (stream, _) = listener.accept().await?;
                let _ = stream.set_nodelay(true);
                tokio::spawn(serve(stream, answer.clone()));
            }
            #[allow(unreachable_code)]
            Ok::<_, std::io::Error>(())
        })
    });
    Ok(address)
}

async fn serve(stream: TcpStream, answer: Bytes) -> Result<(), h2::Error> {
    let mut connection = h2::server::handshake(stream).await?;
    while let Some(call) = connection.accept().await {
        let (request, mut respond) = call?;
        let answer = answer.clone();
        tokio::spawn(async move {
            let mut body = request.into_body();
            while let Some(piece) = body.data().await {
                body.flow_control().release_capacity(piece?.len())?;
            }
            let mut head = Response::new(());
            let kind = HeaderValue::from_static("application/grpc");
            head.headers_mut().insert("content-type", kind);
            let mut sent = respond.send_response(head, false)?;
            sent.send_data(answer, false)?;
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            sent.send_trailers(trailers)
        });
    }
    Ok(())
}
