//! Control planes that fail, one way each.

use std::net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::ports;

/// A way in which a control plane fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing listens.
    Refuses,
    /// Packets vanish: the connection is never established.
    BlackHoles,
    /// Accepts, and says nothing in the TLS handshake.
    StallsInTls,
    /// Presents a certificate of another cluster.
    WrongCertificate,
    /// Speaks no TLS at all.
    NoTls,
    /// Closes right after the TLS handshake.
    ClosesAfterTls,
    /// Finishes the TLS handshake and never answers the upgrade.
    StallsBeforeUpgrade,
    /// Answers 101 and never sends a configuration.
    StallsAfterUpgrade,
    /// Answers the upgrade with this status.
    Answers(u16),
    /// Answers 101 and sends bytes that are no WebSocket frame.
    SendsGarbage,
}

/// A failing control plane on a loopback address, until dropped.
pub struct Outage {
    /// What data planes dial.
    pub address: String,
    _queue: Option<(StdListener, Vec<StdStream>)>,
    task: Option<tokio::task::JoinHandle<()>>,
}

impl Drop for Outage {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Outage {
    /// Starts it. `certificate` and `key` are the cluster's, for the failures that come after a good
    /// handshake.
    pub async fn start(failure: Failure, certificate: &Path, key: &Path) -> Self {
        match failure {
            Failure::Refuses => Self {
                address: format!("127.0.0.1:{}", ports::free()),
                _queue: None,
                task: None,
            },
            Failure::BlackHoles => Self::black_hole(),
            _ => Self::listen(failure, certificate, key).await,
        }
    }

    /// A listener whose queue is full: the kernel drops further SYNs, as a dead route does.
    fn black_hole() -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)
            .expect("make a socket");
        let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        socket.bind(&any.into()).expect("bind");
        socket.listen(0).expect("listen");
        let listener: StdListener = socket.into();
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let mut queued = Vec::new();
        while let Ok(stream) =
            StdStream::connect_timeout(&address, std::time::Duration::from_millis(300))
        {
            queued.push(stream);
            assert!(
                queued.len() < 64,
                "the queue of a listener with no backlog never fills"
            );
        }
        Self {
            address: address.to_string(),
            _queue: Some((listener, queued)),
            task: None,
        }
    }

    async fn listen(failure: Failure, certificate: &Path, key: &Path) -> Self {
        let tls = if failure == Failure::WrongCertificate {
            let stranger = rcgen::generate_simple_self_signed(vec!["kong_clustering".into()])
                .expect("make a certificate");
            acceptor(
                vec![stranger.cert.der().clone()],
                PrivateKeyDer::try_from(stranger.signing_key.serialize_der())
                    .expect("a PKCS#8 key"),
            )
        } else {
            let chain = CertificateDer::pem_file_iter(certificate)
                .expect("read the cluster certificate")
                .collect::<Result<_, _>>()
                .expect("the cluster certificate is PEM");
            acceptor(
                chain,
                PrivateKeyDer::from_pem_file(key).expect("the cluster key is PEM"),
            )
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address")
            .to_string();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(fail(failure, tls.clone(), stream));
            }
        });
        Self {
            address,
            _queue: None,
            task: Some(task),
        }
    }
}

fn acceptor(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has the default versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("certificate and key fit");
    TlsAcceptor::from(Arc::new(config))
}

async fn fail(failure: Failure, tls: TlsAcceptor, mut stream: TcpStream) {
    match failure {
        Failure::StallsInTls => return hold(stream).await,
        Failure::NoTls => {
            stream
                .write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                .await
                .ok();
            return;
        }
        _ => {}
    }
    let Ok(mut stream) = tls.accept(stream).await else {
        return;
    };
    if failure == Failure::ClosesAfterTls {
        return;
    }
    let Some(request) = read_head(&mut stream).await else {
        return;
    };
    match failure {
        Failure::Answers(status) => {
            let answer = format!(
                "HTTP/1.1 {status} Refused\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            stream.write_all(answer.as_bytes()).await.ok();
            stream.shutdown().await.ok();
        }
        Failure::StallsAfterUpgrade | Failure::SendsGarbage => {
            let key = request
                .lines()
                .find_map(|line| {
                    line.split_once(':')
                        .filter(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"))
                })
                .map(|(_, value)| value.trim().to_owned())
                .unwrap_or_default();
            let accept =
                tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
            );
            stream.write_all(answer.as_bytes()).await.ok();
            if failure == Failure::SendsGarbage {
                stream.write_all(&[0xff; 4096]).await.ok();
            }
            hold(stream).await;
        }
        _ => hold(stream).await,
    }
}

async fn read_head<S: AsyncReadExt + Unpin>(stream: &mut S) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < 16_384 {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

/// Reads whatever comes and answers nothing, until the peer goes away.
async fn hold<S: AsyncReadExt + Unpin>(mut stream: S) {
    let mut rest = [0; 4096];
    while matches!(stream.read(&mut rest).await, Ok(count) if count > 0) {}
}
