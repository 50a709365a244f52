//! The end of the data plane.
//!
//! [`Client::run`] dials for ever. It knows nothing of what a document means: it hands over each
//! one, whole and decompressed, and tells the control plane what its owner says is applied.

mod backoff;
mod dial;
mod event;
mod message;
mod session;

use std::sync::Arc;
use std::time::Duration;

use keelgate_snapshot::MAX_DOCUMENT_BYTES;
use rustls::pki_types::ServerName;
use serde_json::{Map, Value};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_rustls::TlsConnector;
use uuid::Uuid;

use self::backoff::Backoff;
use self::session::End;
use crate::{DEFAULT_MAX_PAYLOAD, PluginVersion, TlsError, Trust, tls};

pub use self::event::{Applied, Event, Phase};

/// Settings of a data plane's end.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Control planes, as `HOST:PORT`, in the order of preference.
    pub addresses: Vec<String>,
    /// The cluster certificate (followed by its chain).
    pub cert_pem: String,
    /// Its key.
    pub key_pem: String,
    /// Which control planes are believed.
    pub trust: Trust,
    /// Id of this node.
    pub node_id: Uuid,
    /// Host name of this node.
    pub hostname: String,
    /// The level of Kong's interfaces that this node speaks.
    pub kong_version: String,
    /// The plugins that this node can run.
    pub plugins: Vec<PluginVersion>,
    /// Labels that the operator gave this node (`cluster_dp_labels`).
    pub labels: Map<String, Value>,
    /// Times and sizes.
    pub limits: ClientLimits,
}

/// Times and sizes of a data plane's end.
#[derive(Clone, Copy, Debug)]
pub struct ClientLimits {
    /// For finding and connecting to one address.
    pub connect: Duration,
    /// For each of TLS and the upgrade.
    pub handshake: Duration,
    /// From the upgrade to the first document, after which the control plane counts as stalled.
    pub stall: Duration,
    /// Between pings.
    pub ping: Duration,
    /// Without a byte from the control plane, after which the connection counts as dead.
    pub silence: Duration,
    /// Upper bound of the first wait between attempts; it doubles with each.
    pub backoff: Duration,
    /// Upper bound of all waits, unless the control plane asks for more.
    pub max_backoff: Duration,
    /// Largest frame that is accepted, in bytes (`cluster_max_payload`).
    pub max_payload: usize,
    /// Largest document that a frame may decompress to, in bytes.
    pub max_document: usize,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            handshake: Duration::from_secs(3),
            stall: Duration::from_secs(3),
            ping: Duration::from_secs(30),
            silence: Duration::from_secs(45),
            backoff: Duration::from_millis(500),
            max_backoff: Duration::from_secs(10),
            max_payload: DEFAULT_MAX_PAYLOAD,
            max_document: MAX_DOCUMENT_BYTES,
        }
    }
}

/// Keeps a data plane connected to one of its control planes.
pub struct Client {
    config: ClientConfig,
    connector: TlsConnector,
    server_name: Option<ServerName<'static>>,
}

/// What a client cannot work with.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is nobody to dial.
    #[error("no control plane is set: give at least one address as HOST:PORT")]
    NoAddress,
    /// An address is none.
    #[error("`{0}` is not the address of a control plane: expected HOST:PORT")]
    Address(String),
    /// Certificates or keys cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl Client {
    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// When an address, certificate or key cannot be used.
    pub fn new(config: ClientConfig) -> Result<Self, ClientError> {
        if config.addresses.is_empty() {
            return Err(ClientError::NoAddress);
        }
        for address in &config.addresses {
            let is_address = dial::split(address).is_some();
            if !is_address {
                return Err(ClientError::Address(address.clone()));
            }
        }
        let (tls, server_name) = tls::client(&config.cert_pem, &config.key_pem, &config.trust)?;
        Ok(Self {
            config,
            connector: TlsConnector::from(Arc::new(tls)),
            server_name,
        })
    }

    /// Dials the control planes in turn and stays with the first that works, for as long as the
    /// receiver of the events lives.
    ///
    /// `applied` says what this node runs: it goes to the control plane when it changes.
    pub async fn run(self, events: mpsc::Sender<Event>, applied: watch::Receiver<Applied>) {
        let limits = self.config.limits;
        let mut backoff = Backoff::new(limits.backoff, limits.max_backoff);
        let mut not_before = vec![Instant::now(); self.config.addresses.len()];
        loop {
            let mut useful = false;
            for (address, ready) in self.config.addresses.iter().zip(&mut not_before) {
                if *ready > Instant::now() {
                    continue;
                }
                match self.attempt(address, &events, applied.clone()).await {
                    Outcome::Failed { retry_after } => {
                        if let Some(wait) = retry_after {
                            *ready = Instant::now() + wait;
                        }
                    }
                    Outcome::Useful => {
                        useful = true;
                        break;
                    }
                    Outcome::Unwanted => return,
                }
            }
            if useful {
                backoff.reset();
            }
            // No address may be dialled before it is ready, and spread over the time after that:
            // a whole fleet was given the same answer.
            let ready = not_before
                .iter()
                .min()
                .copied()
                .unwrap_or_else(Instant::now);
            let wake = ready.max(Instant::now()) + backoff.next();
            tokio::select! {
                () = sleep_until(wake) => {}
                () = events.closed() => return,
            }
        }
    }

    /// One connection from dial to end.
    async fn attempt(
        &self,
        address: &str,
        events: &mpsc::Sender<Event>,
        applied: watch::Receiver<Applied>,
    ) -> Outcome {
        let dialing = Event::Dialing {
            address: address.to_owned(),
        };
        if events.send(dialing).await.is_err() {
            return Outcome::Unwanted;
        }
        let dialed = tokio::select! {
            dialed = self.dial(address) => dialed,
            () = events.closed() => return Outcome::Unwanted,
        };
        let established = match dialed {
            Ok(established) => established,
            Err(error) => {
                let retry_after = error.retry_after;
                let failed = Event::DialFailed {
                    address: address.to_owned(),
                    phase: error.phase,
                    error: error.reason,
                    retry_after,
                };
                return match events.send(failed).await {
                    Ok(()) => Outcome::Failed { retry_after },
                    Err(_) => Outcome::Unwanted,
                };
            }
        };
        let connected = Event::Connected {
            address: address.to_owned(),
        };
        if events.send(connected).await.is_err() {
            return Outcome::Unwanted;
        }
        let (end, documents) = self.session(address, established, events, applied).await;
        let reason = match end {
            End::Unwanted => return Outcome::Unwanted,
            end => end.to_string(),
        };
        let disconnected = Event::Disconnected {
            address: address.to_owned(),
            reason,
        };
        match events.send(disconnected).await {
            Ok(()) if documents > 0 => Outcome::Useful,
            Ok(()) => Outcome::Failed { retry_after: None },
            Err(_) => Outcome::Unwanted,
        }
    }
}

/// How an attempt ended.
enum Outcome {
    /// It brought no document.
    Failed { retry_after: Option<Duration> },
    /// It brought at least one.
    Useful,
    /// Nobody listens any more.
    Unwanted,
}
