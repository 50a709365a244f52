//! A control plane of Kong.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::{SinkExt, StreamExt};
use rustls::ServerConfig;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async};

use super::{hashes, identity};
use crate::{ports, wait};

/// A control plane that sends the same frame to everybody, until dropped. Nothing it says is signed.
pub struct ControlPlane {
    /// What data planes dial.
    pub address: String,
    frame: watch::Sender<Option<Vec<u8>>>,
    heard: mpsc::Receiver<Heard>,
    _sessions: JoinSet<()>,
}

/// How much of what data planes say is kept for a test that does not ask; more is dropped.
const REMEMBERED: usize = 1024;

/// What data planes say.
enum Heard {
    BasicInfo(Value),
    Ping(String),
}

impl ControlPlane {
    /// Starts it with the cluster's certificate on a free port, without a configuration.
    pub async fn start(certificate: &Path, key: &Path) -> Self {
        let address = format!("127.0.0.1:{}", ports::free());
        Self::listen(&address, certificate, key).await
    }

    /// Starts it where another was.
    pub async fn listen(address: &str, certificate: &Path, key: &Path) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let (chain, key) = identity(certificate, key);
        let tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has the default versions")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("certificate and key fit");
        let tls = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind(address).await.expect("bind");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address")
            .to_string();
        let (frame, frames) = watch::channel(None);
        let (told, heard) = mpsc::channel(REMEMBERED);
        let mut sessions = JoinSet::new();
        sessions.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, frames, told) = (tls.clone(), frames.clone(), told.clone());
                open.spawn(async move {
                    let Ok(stream) = tls.accept(stream).await else {
                        return;
                    };
                    if let Ok(socket) = accept_async(stream).await {
                        serve(socket, frames, told).await;
                    }
                });
            }
        });
        Self {
            address,
            frame,
            heard,
            _sessions: sessions,
        }
    }

    /// Sends a table to everybody, as Kong does after a change. Returns its hash.
    pub fn publish(&self, table: &Value) -> String {
        let hashes = hashes(table);
        let hash = hashes["config"].as_str().expect("it is text").to_owned();
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("the clock is past 1970");
        self.send(&json!({
            "type": "reconfigure",
            "timestamp": now.as_millis() as f64 / 1000.0,
            "config_hash": hash,
            "hashes": hashes,
            "config_table": table,
        }));
        hash
    }

    /// Sends any message.
    pub fn send(&self, message: &Value) {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(message.to_string().as_bytes())
            .expect("memory takes everything");
        let frame = gzip.finish().expect("memory takes everything");
        self.frame.send_replace(Some(frame));
    }

    /// Waits for the first message of the next data plane.
    pub async fn basic_info(&mut self) -> Value {
        loop {
            if let Heard::BasicInfo(info) = self.hear().await {
                return info;
            }
        }
    }

    /// Waits for a ping, and returns the hash in it.
    pub async fn ping(&mut self) -> String {
        loop {
            if let Heard::Ping(hash) = self.hear().await {
                return hash;
            }
        }
    }

    /// Waits for a ping with this hash.
    pub async fn pinged(&mut self, hash: &str) {
        while self.ping().await != hash {}
    }

    async fn hear(&mut self) -> Heard {
        tokio::time::timeout(wait::PATIENCE, self.heard.recv())
            .await
            .expect("the data plane says nothing")
            .expect("the control plane runs")
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut socket: WebSocketStream<S>,
    mut frames: watch::Receiver<Option<Vec<u8>>>,
    told: mpsc::Sender<Heard>,
) {
    let Some(Ok(Message::Binary(info))) = socket.next().await else {
        return;
    };
    let info = serde_json::from_slice(&info).expect("the basic info is JSON");
    told.try_send(Heard::BasicInfo(info)).ok();
    frames.mark_changed();
    loop {
        tokio::select! {
            changed = frames.changed() => {
                if changed.is_err() {
                    return;
                }
                let frame = frames.borrow_and_update().clone();
                if let Some(frame) = frame
                    && socket.send(Message::binary(frame)).await.is_err()
                {
                    return;
                }
            }
            message = socket.next() => match message {
                Some(Ok(Message::Ping(hash))) => {
                    // In place of the library's own pong, which would repeat the payload.
                    if socket.send(Message::Pong(Vec::new().into())).await.is_err() {
                        return;
                    }
                    let hash = String::from_utf8_lossy(&hash).into_owned();
                    assert_eq!(hash.len(), 32, "Kong closes on such a ping: {hash}");
                    told.try_send(Heard::Ping(hash)).ok();
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(other)) => panic!("Kong closes on this: {other:?}"),
            },
        }
    }
}
