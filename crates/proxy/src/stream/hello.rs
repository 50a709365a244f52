//! A ClientHello, read ahead of the decision whether TLS ends here.

use std::io::{self, Read};

use rustls::server::{Accepted, Acceptor};
use tokio::net::TcpStream;

/// The start of a TLS session.
pub(super) struct Hello {
    /// The server name, in lower case.
    pub(super) name: Option<String>,
    /// Everything that was read, for a service that ends TLS itself.
    pub(super) bytes: Vec<u8>,
    /// The same for a handshake here.
    pub(super) accepted: Accepted,
}

/// A connection that does not begin with a ClientHello.
#[derive(Debug, thiserror::Error)]
pub(super) enum HelloError {
    /// The connection broke or was closed before its end.
    #[error("{0}")]
    Connection(#[from] io::Error),
    /// It is longer than the limit.
    #[error("it is longer than {0} bytes")]
    TooLong(usize),
    /// It is none that TLS knows.
    #[error("{0}")]
    Tls(#[from] rustls::Error),
}

/// Reads a ClientHello of at most `limit` bytes. A client that sends something else is told so by
/// an alert.
pub(super) async fn read(stream: &TcpStream, limit: usize) -> Result<Hello, HelloError> {
    let mut acceptor = Acceptor::default();
    let mut bytes = Vec::new();
    loop {
        stream.readable().await?;
        let mut tap = Tap {
            stream,
            seen: &mut bytes,
        };
        match acceptor.read_tls(&mut tap) {
            Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error.into()),
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => {
                let name = {
                    let hello = accepted.client_hello();
                    hello.server_name().map(str::to_ascii_lowercase)
                };
                return Ok(Hello {
                    name,
                    bytes,
                    accepted,
                });
            }
            Ok(None) if bytes.len() >= limit => return Err(HelloError::TooLong(limit)),
            Ok(None) => {}
            Err((error, mut alert)) => {
                let mut told = Vec::new();
                if alert.write_all(&mut told).is_ok() {
                    // Whoever does not take it now is not waited for.
                    let _ = stream.try_write(&told);
                }
                return Err(error.into());
            }
        }
    }
}

/// Keeps what is read from a connection.
struct Tap<'a> {
    stream: &'a TcpStream,
    seen: &'a mut Vec<u8>,
}

impl Read for Tap<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.try_read(buffer)?;
        self.seen.extend_from_slice(&buffer[..read]);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::RootCertStore;
    use rustls::pki_types::ServerName;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    fn hello(name: &str) -> Vec<u8> {
        let config = rustls::ClientConfig::builder_with_provider(Arc::new(
            rustls::crypto::aws_lc_rs::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        bytes
    }

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, server) = tokio::join!(TcpStream::connect(address), listener.accept());
        (client.unwrap(), server.unwrap().0)
    }

    #[tokio::test]
    async fn a_hello_in_pieces_tells_its_name_and_is_kept() {
        let (mut client, server) = pair().await;
        let sent = hello("A.Test");
        let (first, second) = sent.split_at(7);
        let reading = read(&server, 16 * 1024);
        let writing = async {
            client.write_all(first).await.unwrap();
            client.flush().await.unwrap();
            tokio::task::yield_now().await;
            client.write_all(second).await.unwrap();
        };
        let (found, ()) = tokio::join!(reading, writing);
        let found = found.unwrap();
        assert_eq!(found.name.as_deref(), Some("a.test"));
        assert_eq!(found.bytes, sent);
    }

    #[tokio::test]
    async fn what_is_no_hello_is_refused() {
        let (mut client, server) = pair().await;
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let error = read(&server, 1024).await.err().unwrap();
        assert!(matches!(error, HelloError::Tls(_)), "{error}");

        let (client, server) = pair().await;
        drop(client);
        let error = read(&server, 1024).await.err().unwrap();
        assert!(matches!(error, HelloError::Connection(_)), "{error}");

        let (mut client, server) = pair().await;
        client.write_all(&hello("a.test")[..100]).await.unwrap();
        let error = read(&server, 64).await.err().unwrap();
        assert!(matches!(error, HelloError::TooLong(64)), "{error}");
    }
}
