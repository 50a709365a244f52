//! Certificates, snapshots, servers, clients, and plain websockets that play the other end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use keelgate_snapshot::{Position, Snapshot, build};
use keelgate_sync::{
    Applied, Client, ClientConfig, ClientLimits, DataPlane, DataPlanes, Event, PluginVersion,
    Server, ServerConfig, ServerLimits, Trust,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::{Map, Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) const HASH: &str = "0123456789abcdef0123456789abcdef";

/// Only to end a test that hangs; nothing is measured.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn patiently<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("the test hangs")
}

#[derive(Clone)]
pub(crate) struct Pem {
    pub(crate) cert: String,
    pub(crate) key: String,
}

pub(crate) fn cluster() -> Pem {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let params = CertificateParams::new(vec!["kong_clustering".to_owned()]).unwrap();
    Pem {
        cert: params.self_signed(&key).unwrap().pem(),
        key: key.serialize_pem(),
    }
}

pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    pub(crate) fn trust(&self, server_name: Option<&str>) -> Trust {
        Trust::Authority {
            ca_pem: self.0.pem(),
            server_name: server_name.map(str::to_owned),
        }
    }

    pub(crate) fn issue(&self, name: &str) -> Pem {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        Pem {
            cert: params.signed_by(&key, &self.0).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }
}

pub(crate) fn snapshot_of(revision: u64, config: &Value) -> Snapshot {
    let position = Position {
        cluster_id: Uuid::from_u128(1),
        epoch: 1,
        revision,
    };
    let created_at = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    build(config, position, "0.1.0", created_at, None).unwrap()
}

pub(crate) fn snapshot(revision: u64) -> Snapshot {
    snapshot_of(
        revision,
        &json!({"_format_version": "3.0", "services": [{"name": format!("s{revision}")}]}),
    )
}

pub(crate) fn plugins(names: &[&str]) -> Vec<PluginVersion> {
    let plugin = |name: &&str| PluginVersion {
        name: (*name).to_owned(),
        version: Some("3.9.1".to_owned()),
    };
    names.iter().map(plugin).collect()
}

/// A running control plane.
pub(crate) struct ControlPlane {
    pub(crate) address: SocketAddr,
    pub(crate) snapshots: watch::Sender<Option<Snapshot>>,
    pub(crate) data_planes: Arc<DataPlanes>,
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<()>,
}

impl ControlPlane {
    pub(crate) async fn start(pem: &Pem) -> Self {
        Self::start_with(pem, Trust::Shared, ServerLimits::default(), "127.0.0.1:0").await
    }

    pub(crate) async fn start_with(
        pem: &Pem,
        trust: Trust,
        limits: ServerLimits,
        listen: &str,
    ) -> Self {
        let listener = TcpListener::bind(listen).await.unwrap();
        let data_planes = DataPlanes::new(Duration::from_secs(14 * 24 * 3600));
        let config = ServerConfig {
            cert_pem: pem.cert.clone(),
            key_pem: pem.key.clone(),
            trust,
            kong_version: "3.9.1".to_owned(),
            plugins: plugins(&["cors", "key-auth"]),
            limits,
        };
        let server = Server::new(config, Arc::clone(&data_planes)).unwrap();
        let (snapshots, feed) = watch::channel(None);
        let stop = CancellationToken::new();
        Self {
            address: listener.local_addr().unwrap(),
            snapshots,
            data_planes,
            task: tokio::spawn(server.run(vec![listener], feed, stop.clone())),
            stop,
        }
    }

    pub(crate) fn publish(&self, snapshot: &Snapshot) {
        self.snapshots.send_replace(Some(snapshot.clone()));
    }

    /// Waits for a record that fits.
    pub(crate) async fn record(&self, id: Uuid, fits: impl Fn(&DataPlane) -> bool) -> DataPlane {
        let mut changes = self.data_planes.changes();
        let found = async {
            loop {
                changes.mark_unchanged();
                if let Some(record) = self.data_planes.get(id).filter(&fits) {
                    return record;
                }
                changes.changed().await.unwrap();
            }
        };
        patiently(found).await
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        patiently(self.task).await.unwrap();
    }
}

/// A running client.
pub(crate) struct Node {
    pub(crate) id: Uuid,
    pub(crate) events: mpsc::Receiver<Event>,
    pub(crate) applied: watch::Sender<Applied>,
}

pub(crate) fn client_config(addresses: &[SocketAddr], pem: &Pem) -> ClientConfig {
    ClientConfig {
        addresses: addresses.iter().map(ToString::to_string).collect(),
        cert_pem: pem.cert.clone(),
        key_pem: pem.key.clone(),
        trust: Trust::Shared,
        node_id: Uuid::new_v4(),
        hostname: "dp.example.com".to_owned(),
        kong_version: "3.9.1".to_owned(),
        plugins: plugins(&["cors", "key-auth"]),
        labels: Map::new(),
        limits: ClientLimits {
            backoff: Duration::from_millis(20),
            max_backoff: Duration::from_millis(100),
            ..ClientLimits::default()
        },
    }
}

impl Node {
    pub(crate) fn start(config: ClientConfig) -> Self {
        let id = config.node_id;
        let client = Client::new(config).unwrap();
        let (sender, events) = mpsc::channel(16);
        let (applied, receiver) = watch::channel(Applied::default());
        tokio::spawn(client.run(sender, receiver));
        Self {
            id,
            events,
            applied,
        }
    }

    pub(crate) async fn event(&mut self) -> Event {
        patiently(self.events.recv())
            .await
            .expect("the client ended")
    }

    /// The next event that fits; others are passed over.
    pub(crate) async fn until(&mut self, fits: impl Fn(&Event) -> bool) -> Event {
        loop {
            let event = self.event().await;
            if fits(&event) {
                return event;
            }
        }
    }

    pub(crate) async fn document(&mut self) -> Bytes {
        match self
            .until(|event| matches!(event, Event::Document(_)))
            .await
        {
            Event::Document(document) => document,
            event => panic!("{event:?}"),
        }
    }

    /// Passes over older documents until this one comes.
    pub(crate) async fn gets(&mut self, snapshot: &Snapshot) {
        while self.document().await != snapshot.document() {}
    }

    pub(crate) async fn disconnected(&mut self) -> String {
        match self
            .until(|event| matches!(event, Event::Disconnected { .. }))
            .await
        {
            Event::Disconnected { reason, .. } => reason,
            event => panic!("{event:?}"),
        }
    }
}

/// The TLS of a data plane without any trust, with or without a certificate.
pub(crate) async fn raw_tls(
    address: SocketAddr,
    pem: Option<&Pem>,
) -> std::io::Result<client::TlsStream<TcpStream>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(danger::AnyServer));
    let config = match pem {
        Some(pem) => builder
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_slice(pem.cert.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(pem.key.as_bytes()).unwrap(),
            )
            .unwrap(),
        None => builder.with_no_client_auth(),
    };
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("kong_clustering").unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

pub(crate) type RawSocket = WebSocketStream<client::TlsStream<TcpStream>>;

/// A data plane as Kong is one: without capabilities.
pub(crate) async fn kong_data_plane(
    control_plane: &ControlPlane,
    pem: &Pem,
    query: &str,
) -> RawSocket {
    let stream = raw_tls(control_plane.address, Some(pem)).await.unwrap();
    let uri = format!("wss://cp/v1/outlet?{query}");
    let (socket, answer) = tokio_tungstenite::client_async(uri, stream).await.unwrap();
    assert!(answer.headers().get("keelgate-capabilities").is_none());
    socket
}

pub(crate) fn query(id: Uuid) -> String {
    format!("node_id={id}&node_hostname=kong-dp&node_version=3.9.1")
}

pub(crate) fn basic_info(plugins: &[&str]) -> Message {
    let plugins: Vec<_> = plugins
        .iter()
        .map(|name| json!({"name": name, "version": "3.9.1"}))
        .collect();
    let info = json!({"type": "basic_info", "plugins": plugins, "labels": {"zone": "a"}});
    Message::binary(info.to_string())
}

pub(crate) fn ping(hash: &str) -> Message {
    Message::Ping(Bytes::copy_from_slice(hash.as_bytes()))
}

/// The next frame, or how the connection ended.
pub(crate) async fn next<S>(socket: &mut WebSocketStream<S>) -> Result<Message, String>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    match patiently(socket.next()).await {
        Some(Ok(message)) => Ok(message),
        Some(Err(error)) => Err(error.to_string()),
        None => Err("end".to_owned()),
    }
}

/// The data plane is sent a close frame or loses the connection.
pub(crate) async fn is_closed(socket: &mut RawSocket) -> bool {
    !matches!(
        next(socket).await,
        Ok(Message::Binary(_) | Message::Text(_) | Message::Ping(_) | Message::Pong(_))
    )
}

/// A listener that plays a control plane after the TLS handshake.
pub(crate) struct FakeControlPlane {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    pub(crate) address: SocketAddr,
}

pub(crate) type FakeSocket = WebSocketStream<server::TlsStream<TcpStream>>;

impl FakeControlPlane {
    pub(crate) async fn start(pem: &Pem) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(pem.cert.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(pem.key.as_bytes()).unwrap(),
            )
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self {
            address: listener.local_addr().unwrap(),
            listener,
            acceptor: TlsAcceptor::from(Arc::new(config)),
        }
    }

    pub(crate) async fn tcp(&self) -> TcpStream {
        patiently(self.listener.accept()).await.unwrap().0
    }

    pub(crate) async fn tls(&self) -> server::TlsStream<TcpStream> {
        self.acceptor.accept(self.tcp().await).await.unwrap()
    }

    /// An upgraded connection, as Kong makes it.
    pub(crate) async fn websocket(&self) -> FakeSocket {
        tokio_tungstenite::accept_async(self.tls().await)
            .await
            .unwrap()
    }

    /// The same, after the data plane's first message and first ping.
    pub(crate) async fn greeted(&self) -> FakeSocket {
        let mut socket = self.websocket().await;
        assert!(matches!(next(&mut socket).await, Ok(Message::Binary(_))));
        assert!(matches!(next(&mut socket).await, Ok(Message::Ping(_))));
        socket
    }
}

pub(crate) async fn send<S>(socket: &mut WebSocketStream<S>, message: Message)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let sent: Result<(), tungstenite::Error> = patiently(socket.send(message)).await;
    sent.unwrap();
}

mod danger {
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::{DigitallySignedStruct, Error, SignatureScheme};

    /// The client of a test need not believe anybody.
    #[derive(Debug)]
    pub(super) struct AnyServer;

    impl ServerCertVerifier for AnyServer {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            rustls::crypto::aws_lc_rs::default_provider()
                .signature_verification_algorithms
                .supported_schemes()
        }
    }
}
