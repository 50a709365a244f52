//! One probe of one target.

mod grpc;
mod http;

use std::borrow::Cow;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderName, HeaderValue};
use keelgate_balancer::{Host, Outcome, PeerView};
use keelgate_entities::kinds::{ActiveChecks, Protocol};
use keelgate_runtime::{UpstreamEntry, UpstreamTls, authority};
use keelgate_socket::Socket;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, TlsStream};

use crate::net::Stream;

/// How long a probe may take where the upstream does not say.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is asked of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    /// Nothing but a connection.
    Tcp,
    /// The status of an HTTP answer.
    Http,
    /// Its own word (`grpc.health.v1.Health`).
    Grpc,
}

/// One probe of one target.
pub(super) struct Probe<'a> {
    question: Question,
    address: SocketAddr,
    /// The name and, unless it is the usual one, the port.
    authority: String,
    tls: Option<(&'a UpstreamTls, Cow<'a, str>)>,
    checks: &'a ActiveChecks,
}

impl<'a> Probe<'a> {
    pub(super) fn new(entry: &'a UpstreamEntry, peer: &PeerView<'a>) -> Self {
        let checks = &entry.upstream.healthchecks.active;
        let kind = checks.r#type.as_deref().unwrap_or("http");
        let question = match kind {
            "tcp" => Question::Tcp,
            "grpc" | "grpcs" => Question::Grpc,
            _ => Question::Http,
        };
        let encrypted = matches!(kind, "https" | "grpcs");
        let name: Cow<'a, str> = match (&entry.upstream.host_header, peer.name) {
            (Some(host), _) => Cow::Borrowed(host),
            (None, Some(name)) => Cow::Borrowed(name),
            (None, None) => match &peer.target_address.host {
                Host::Name(name) => Cow::Borrowed(name),
                Host::Ip(address) if address.is_ipv6() => Cow::Owned(format!("[{address}]")),
                Host::Ip(address) => Cow::Owned(address.to_string()),
            },
        };
        let protocol = if encrypted {
            Protocol::Https
        } else {
            Protocol::Http
        };
        let authority = match &entry.upstream.host_header {
            Some(host) => host.clone(),
            None => authority(protocol, &name, peer.address.port()),
        };
        let server_name = || match &checks.https_sni {
            Some(name) => Cow::Borrowed(name.as_str()),
            None => name,
        };
        Self {
            question,
            address: peer.address,
            authority,
            tls: encrypted.then(|| (&entry.probe_tls, server_name())),
            checks,
        }
    }

    /// Asks, within the time that the upstream allows.
    pub(super) async fn run(&self) -> Outcome {
        let limit = match self.checks.timeout {
            seconds if seconds > 0.0 => Duration::from_secs_f64(seconds),
            _ => PATIENCE,
        };
        match tokio::time::timeout(limit, self.ask()).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => {
                tracing::debug!(address = %self.address, %error, "a probe has failed");
                Outcome::TcpFailure
            }
            Err(_) => Outcome::Timeout,
        }
    }

    async fn ask(&self) -> io::Result<Outcome> {
        let stream = self.open().await?;
        match self.question {
            Question::Tcp => Ok(Outcome::Connected),
            Question::Http => http::ask(self, stream).await,
            Question::Grpc => grpc::ask(self, stream).await,
        }
    }

    async fn open(&self) -> io::Result<Stream> {
        let stream = TcpStream::connect(self.address).await?;
        let _ = stream.set_nodelay(true);
        let stream = Socket::from(stream);
        let Some((tls, name)) = &self.tls else {
            return Ok(Stream::Tcp(stream));
        };
        let UpstreamTls::Profile(profile) = tls else {
            return Err(io::Error::other(
                "the upstream's certificate cannot be used",
            ));
        };
        let name = server_name(name).map_err(io::Error::other)?;
        let connector = TlsConnector::from(Arc::clone(&profile.config));
        let connecting = match self.question {
            Question::Grpc => connector
                .with_alpn(vec![b"h2".to_vec()])
                .connect(name, stream),
            _ => connector.connect(name, stream),
        };
        Ok(Stream::Tls(Box::new(TlsStream::from(connecting.await?))))
    }

    /// The headers that the upstream adds; those that cannot be sent are left out.
    fn headers(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let headers = self.checks.headers.iter().flatten();
        headers
            .flat_map(|(name, values)| values.iter().map(move |value| (name, value)))
            .filter_map(|(name, value)| Some((name.parse().ok()?, value.parse().ok()?)))
    }
}

/// A name without its port, as TLS wants it.
fn server_name(name: &str) -> Result<ServerName<'static>, rustls::pki_types::InvalidDnsNameError> {
    let bare = match name.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((inner, _)) => inner,
        None => name.split(':').next().unwrap_or(name),
    };
    ServerName::try_from(bare.to_owned())
}
