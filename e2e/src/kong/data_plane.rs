//! A data plane of Kong.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use flate2::read::GzDecoder;
use futures_util::{SinkExt, StreamExt};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use super::identity;
use crate::wait;

/// A data plane that is connected to a control plane.
pub struct DataPlane {
    /// Its node id.
    pub id: Uuid,
    socket: WebSocketStream<TlsStream<TcpStream>>,
}

impl DataPlane {
    /// Connects with the cluster's certificate and lists these plugins.
    pub async fn connect(address: &str, certificate: &Path, key: &Path, plugins: &[&str]) -> Self {
        let id = Uuid::new_v4();
        let stream = TcpStream::connect(address).await.expect("connect");
        let name = ServerName::try_from("kong_clustering").expect("a name");
        let stream = TlsConnector::from(Arc::new(tls(certificate, key)))
            .connect(name, stream)
            .await
            .expect("the control plane holds the cluster certificate");
        let uri = format!(
            "wss://{address}/v1/outlet?node_id={id}&node_hostname=kong-dp&node_version=3.9.1"
        );
        let (socket, _) = tokio_tungstenite::client_async(uri, stream)
            .await
            .expect("the upgrade is answered 101");
        let mut data_plane = Self { id, socket };
        let plugins: Vec<Value> = plugins
            .iter()
            .map(|name| json!({"name": name, "version": "3.9.1"}))
            .collect();
        let info = json!({
            "type": "basic_info", "plugins": plugins, "process_conf": {}, "filters": {}, "labels": {},
        });
        data_plane.send(Message::binary(info.to_string())).await;
        data_plane
    }

    async fn send(&mut self, message: Message) {
        self.socket.send(message).await.expect("send a frame");
    }

    async fn next(&mut self) -> Message {
        tokio::time::timeout(wait::PATIENCE, self.socket.next())
            .await
            .expect("the control plane says nothing")
            .expect("the connection stands")
            .expect("read a frame")
    }

    /// Waits for the next configuration.
    pub async fn reconfigured(&mut self) -> Value {
        loop {
            if let Message::Binary(frame) = self.next().await {
                assert_eq!(frame[..3], [0x1f, 0x8b, 0x08], "the frame is not gzip");
                let mut text = String::new();
                GzDecoder::new(&*frame)
                    .read_to_string(&mut text)
                    .expect("the frame is compressed text");
                return serde_json::from_str(&text).expect("the frame is JSON");
            }
        }
    }

    /// Tells the hash of what runs and waits for the pong; no configuration may come before it.
    pub async fn ping(&mut self, hash: &str) {
        self.send(Message::Ping(hash.to_owned().into())).await;
        let answer = self.next().await;
        assert_eq!(answer, Message::Pong(Vec::new().into()));
    }
}

fn tls(certificate: &Path, key: &Path) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let (chain, key) = identity(certificate, key);
    let trust = SameCertificate {
        own: chain[0].clone(),
        provider: provider.clone(),
    };
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has the default versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(trust))
        .with_client_auth_cert(chain, key)
        .expect("certificate and key fit")
}

/// Believes the holder of the cluster's certificate and nobody else.
#[derive(Debug)]
struct SameCertificate {
    own: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for SameCertificate {
    fn verify_server_cert(
        &self,
        theirs: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *theirs == self.own {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::UnknownIssuer.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
