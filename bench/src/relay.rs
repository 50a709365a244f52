//! The floors: what no proxy on an engine can undercut. Bytes go from each client's connection to
//! an upstream connection of its own and back, in one task, and nobody looks at them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use keelgate_socket::{Engine, Socket};
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::LocalOptions;
use tokio_rustls::TlsAcceptor;

/// Threads, as many as the peers have workers.
const WORKERS: usize = 2;

/// Options of `relay`.
#[derive(Args)]
pub(crate) struct RelayArguments {
    /// Where it listens in clear.
    #[arg(long)]
    listen: SocketAddr,
    /// Where it listens for TLS.
    #[arg(long)]
    tls_listen: SocketAddr,
    /// Where the bytes go.
    #[arg(long)]
    upstream: SocketAddr,
    /// The server's certificate, in PEM.
    #[arg(long)]
    certificate: PathBuf,
    /// Its key.
    #[arg(long)]
    key: PathBuf,
    /// Whether connections are read and written by io_uring.
    #[arg(long)]
    io_uring: bool,
}

/// Relays until it is killed.
pub(crate) fn run(options: &RelayArguments) -> anyhow::Result<()> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_file(&options.certificate)?],
            PrivateKeyDer::from_pem_file(&options.key)?,
        )?;
    let tls = TlsAcceptor::from(Arc::new(tls));
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|_| scope.spawn(|| work(options, &tls)))
            .collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|_| Ok(())))
    })
}

fn work(options: &RelayArguments, tls: &TlsAcceptor) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    runtime.block_on(async {
        let engine = match options.io_uring {
            true => Engine::io_uring()?,
            false => Engine::epoll(),
        };
        let clear = listen(options.listen)?;
        let encrypted = listen(options.tls_listen)?;
        let upstream = options.upstream;
        loop {
            tokio::select! {
                accepted = clear.accept() => {
                    let client = taken(&engine, accepted?.0)?;
                    let engine = engine.clone();
                    tokio::task::spawn_local(async move { relay(&engine, client, upstream).await });
                }
                accepted = encrypted.accept() => {
                    let client = taken(&engine, accepted?.0)?;
                    let engine = engine.clone();
                    let tls = tls.clone();
                    tokio::task::spawn_local(async move {
                        relay(&engine, tls.accept(client).await?, upstream).await
                    });
                }
            }
        }
    })
}

fn taken(engine: &Engine, stream: TcpStream) -> std::io::Result<Socket> {
    stream.set_nodelay(true)?;
    engine.adopt(stream)
}

fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    socket.listen(1024).context("cannot listen")
}

async fn relay(
    engine: &Engine,
    mut client: impl AsyncRead + AsyncWrite + Unpin,
    upstream: SocketAddr,
) -> std::io::Result<()> {
    let mut upstream = taken(engine, TcpStream::connect(upstream).await?)?;
    copy_bidirectional(&mut client, &mut upstream).await?;
    Ok(())
}
