//! A web server over TLS that shows the objects of a storage, as a CDN before a bucket does.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use rustls::ServerConfig;
use rustls_pki_types::PrivateKeyDer;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::Storage;

/// A running mirror, until dropped.
pub struct Mirror {
    /// What `cluster_fallback_config_storage` of a reader is set to.
    pub url: String,
    directory: TempDir,
    task: JoinHandle<()>,
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone)]
struct Shown {
    storage: Arc<Storage>,
    wanted: Option<&'static str>,
}

impl Mirror {
    /// Shows `storage` to those whose requests have this value of `Authorization`, or to everybody.
    pub async fn start(storage: Arc<Storage>, wanted: Option<&'static str>) -> Self {
        let directory = tempfile::tempdir().expect("make a directory");
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()])
            .expect("make a certificate");
        std::fs::write(directory.path().join("ca.pem"), made.cert.pem())
            .expect("write the certificate");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a PKCS#8 key");
        let tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has the default versions")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("certificate and key fit");
        let socket = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let port = socket.local_addr().expect("a bound socket").port();
        let router = Router::new()
            .fallback(show)
            .with_state(Shown { storage, wanted });
        let listener = Tls {
            socket,
            acceptor: TlsAcceptor::from(Arc::new(tls)),
        };
        let task = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("serve");
        });
        Self {
            url: format!("https://localhost:{port}/mirror"),
            directory,
            task,
        }
    }

    /// The authority that signs its certificate, for `lua_ssl_trusted_certificate`.
    pub fn authority(&self) -> PathBuf {
        self.path().join("ca.pem")
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }
}

async fn show(State(shown): State<Shown>, request: Request) -> Response {
    let given = request.headers().get(header::AUTHORIZATION);
    if let Some(wanted) = shown.wanted
        && given.is_none_or(|given| given.as_bytes() != wanted.as_bytes())
    {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let Some(key) = request.uri().path().strip_prefix("/mirror/") else {
        return StatusCode::NOT_FOUND.into_response();
    };
    match shown.storage.read(key).await {
        Some(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Takes connections and finishes their handshakes, one after another: few are made in a test.
struct Tls {
    socket: TcpListener,
    acceptor: TlsAcceptor,
}

impl axum::serve::Listener for Tls {
    type Io = tokio_rustls::server::TlsStream<tokio::net::TcpStream>;
    type Addr = std::net::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let Ok((stream, address)) = self.socket.accept().await else {
                continue;
            };
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.socket.local_addr()
    }
}
