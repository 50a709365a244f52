//! The upstream behind every peer: fixed answers, as cheap as they can be.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Starts it on a thread of its own and returns where it listens. `GET /SIZE` answers that many
/// bytes; other requests are read whole and answered with two.
pub(crate) fn start() -> anyhow::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || run(listener));
    Ok(address)
}

/// Serves on the thread that calls.
pub(crate) fn run(listener: std::net::TcpListener) -> anyhow::Result<()> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async move {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            let _ = stream.set_nodelay(true);
            tokio::spawn(serve(stream));
        }
    })
}

async fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    let mut buffer = Vec::with_capacity(16_384);
    let mut answer = Vec::new();
    loop {
        let (head, body, size) = loop {
            let mut headers = [httparse::EMPTY_HEADER; 64];
            let mut request = httparse::Request::new(&mut headers);
            match request.parse(&buffer) {
                Ok(httparse::Status::Complete(head)) => {
                    let length = request
                        .headers
                        .iter()
                        .find(|header| header.name.eq_ignore_ascii_case("content-length"))
                        .and_then(|header| {
                            std::str::from_utf8(header.value)
                                .ok()?
                                .parse::<usize>()
                                .ok()
                        })
                        .unwrap_or(0);
                    let size = request
                        .path
                        .and_then(|path| path.rsplit('/').next()?.parse().ok())
                        .unwrap_or(2);
                    break (head, length, size);
                }
                Ok(httparse::Status::Partial) => {}
                Err(_) => return Ok(()),
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        };
        while buffer.len() < head + body {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        }
        buffer.drain(..head + body);
        answer.clear();
        answer.extend_from_slice(
            format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {size}\r\n\r\n"
            )
            .as_bytes(),
        );
        answer.resize(answer.len() + size, b'x');
        stream.write_all(&answer).await?;
    }
}
