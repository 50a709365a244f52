//! One connection of the load generator: HTTP/1.1, in clear or over TLS, or one stream after the other
//! on a shared connection of HTTP/2.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use h2::client::SendRequest;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::request::Request;

/// How the peer is spoken to.
#[derive(Clone)]
pub(crate) enum Transport {
    Clear,
    /// As `localhost`.
    Tls(Arc<ClientConfig>),
    /// HTTP/2 over TLS, as `localhost`; so many streams at once share a connection.
    Http2(Arc<ClientConfig>, usize),
}

pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Sends one request after the other.
pub(crate) enum Connection {
    Http1 {
        stream: Box<dyn Stream>,
        buffer: Vec<u8>,
    },
    Http2(SendRequest<Bytes>),
}

impl Connection {
    /// Connects for as many senders as share a connection.
    pub(crate) async fn open(
        address: SocketAddr,
        transport: &Transport,
    ) -> anyhow::Result<Vec<Self>> {
        let tcp = TcpStream::connect(address)
            .await
            .context("cannot connect to the peer")?;
        tcp.set_nodelay(true)?;
        let stream: Box<dyn Stream> = match transport {
            Transport::Clear => Box::new(tcp),
            Transport::Tls(config) => Box::new(encrypted(tcp, config).await?),
            Transport::Http2(config, streams) => {
                let stream = encrypted(tcp, config).await?;
                let (sender, connection) = h2::client::Builder::new()
                    .initial_window_size(1024 * 1024)
                    .initial_connection_window_size(16 * 1024 * 1024)
                    .handshake(stream)
                    .await
                    .context("HTTP/2 with the peer")?;
                // Its end shows in the streams.
                tokio::spawn(connection);
                let sender = sender.ready().await?;
                return Ok((0..*streams).map(|_| Self::Http2(sender.clone())).collect());
            }
        };
        Ok(vec![Self::Http1 {
            stream,
            buffer: Vec::with_capacity(128 * 1024),
        }])
    }

    /// Sends a request and reads the answer whole. Anything but 200, and a redirection over HTTP/1.1, is an
    /// error.
    pub(crate) async fn exchange(&mut self, request: &Request) -> anyhow::Result<()> {
        match self {
            Self::Http1 { stream, buffer } => exchange(stream, buffer, &request.wire).await,
            Self::Http2(sender) => stream(sender, request).await,
        }
    }
}

async fn encrypted(
    tcp: TcpStream,
    config: &Arc<ClientConfig>,
) -> anyhow::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let name = ServerName::try_from("localhost")?;
    TlsConnector::from(Arc::clone(config))
        .connect(name, tcp)
        .await
        .context("TLS with the peer")
}

async fn exchange(
    stream: &mut Box<dyn Stream>,
    buffer: &mut Vec<u8>,
    request: &[u8],
) -> anyhow::Result<()> {
    stream.write_all(request).await?;
    stream.flush().await?;
    buffer.clear();
    let whole = loop {
        if stream.read_buf(buffer).await? == 0 {
            bail!("the peer closed the connection");
        }
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut answer = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(head) = answer.parse(buffer)? else {
            continue;
        };
        if !matches!(answer.code, Some(200 | 302)) {
            bail!("the peer answered {:?}", answer.code);
        }
        let length = answer
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case("content-length"))
            .and_then(|header| {
                std::str::from_utf8(header.value)
                    .ok()?
                    .parse::<usize>()
                    .ok()
            });
        break length.map(|length| head + length);
    };
    let is_whole = |buffer: &[u8]| match whole {
        Some(whole) => buffer.len() >= whole,
        None => ends_in_chunks(buffer),
    };
    while !is_whole(buffer) {
        if stream.read_buf(buffer).await? == 0 {
            bail!("the peer closed the connection within a body");
        }
    }
    Ok(())
}

/// Whether an answer ends with a last chunk, and trailers where there are any. No upstream of ours sends a body that
/// looks so.
fn ends_in_chunks(answer: &[u8]) -> bool {
    let last = &answer[answer.len().saturating_sub(512)..];
    last.ends_with(b"\r\n\r\n") && last.windows(5).any(|bytes| bytes == b"\r\n0\r\n")
}

async fn stream(sender: &mut SendRequest<Bytes>, request: &Request) -> anyhow::Result<()> {
    std::future::poll_fn(|cx| sender.poll_ready(cx)).await?;
    let ends = request.body.is_empty();
    let (answer, mut body) = sender.send_request(request.head.clone(), ends)?;
    if !ends {
        body.send_data(request.body.clone(), true)?;
    }
    let answer = answer.await?;
    ensure!(
        answer.status() == 200,
        "the peer answered {}",
        answer.status()
    );
    let mut body = answer.into_body();
    while let Some(piece) = body.data().await {
        body.flow_control().release_capacity(piece?.len())?;
    }
    Ok(())
}
