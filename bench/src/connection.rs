//! One keep-alive connection of the load generator, in clear or over TLS.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, bail};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A keep-alive connection.
pub(crate) struct Connection {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects; with `tls`, as `localhost`.
    pub(crate) async fn open(
        address: SocketAddr,
        tls: Option<Arc<ClientConfig>>,
    ) -> anyhow::Result<Self> {
        let tcp = TcpStream::connect(address)
            .await
            .context("cannot connect to the peer")?;
        tcp.set_nodelay(true)?;
        let stream: Box<dyn Stream> = match tls {
            None => Box::new(tcp),
            Some(config) => {
                let name = ServerName::try_from("localhost")?;
                Box::new(
                    TlsConnector::from(config)
                        .connect(name, tcp)
                        .await
                        .context("TLS with the peer")?,
                )
            }
        };
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(128 * 1024),
        })
    }

    /// Sends a request and reads the answer whole. Anything but 200 is an error.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        self.buffer.clear();
        let whole = loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the peer closed the connection");
            }
            let mut headers = [httparse::EMPTY_HEADER; 64];
            let mut answer = httparse::Response::new(&mut headers);
            let httparse::Status::Complete(head) = answer.parse(&self.buffer)? else {
                continue;
            };
            if answer.code != Some(200) {
                bail!("the peer answered {:?}", answer.code);
            }
            let length: usize = answer
                .headers
                .iter()
                .find(|header| header.name.eq_ignore_ascii_case("content-length"))
                .and_then(|header| std::str::from_utf8(header.value).ok()?.parse().ok())
                .context("an answer without Content-Length")?;
            break head + length;
        };
        while self.buffer.len() < whole {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the peer closed the connection within a body");
            }
        }
        Ok(())
    }
}
