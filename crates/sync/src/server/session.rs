//! One connected data plane.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use keelgate_snapshot::{EMPTY_CONFIG_HASH, Identity};
use serde_json::{Map, Value};
use tokio::io::{AsyncWrite, Join, ReadHalf, Sink, join, sink, split};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::CancellationToken;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::Context;
use super::outbox::Outbox;
use super::publication::Publication;
use super::upgrade::{Node, Upgraded};
use crate::basic_info::{BasicInfo, BasicInfoError};
use crate::capability::{Capabilities, Report};
use crate::compatibility::{self, Incompatible};
use crate::data_planes::{CertificateDetails, DataPlane, Live, now};
use crate::{SyncStatus, tls};

/// Messages of a data plane are small.
const READ_BUFFER: usize = 4 << 10;

/// Longest host name or version that is kept, in bytes, as long as a name can be.
const MAX_NAME: usize = 255;

/// Most labels that are kept, in bytes.
const MAX_LABELS: usize = 16 << 10;

/// Longest name of a source that is kept, in bytes.
const MAX_SOURCE: usize = 64;

/// For the close frame and the end of TLS.
const GOODBYE: Duration = Duration::from_secs(2);

/// The reading half of the websocket: what the library wants to answer by itself (pings, closes)
/// goes nowhere, since the [`Outbox`] writes.
type Inbox = WebSocketStream<Join<ReadHalf<TlsStream<TcpStream>>, Sink>>;

/// A connection after the upgrade.
pub(super) struct Session {
    context: Arc<Context>,
    number: u64,
    address: SocketAddr,
    upgraded: Upgraded,
}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("no basic info within {} s", .0.as_secs_f32())]
    NoBasicInfo(Duration),
    #[error("{0}")]
    BasicInfo(#[from] BasicInfoError),
    #[error("{0}")]
    Incompatible(#[from] Incompatible),
    #[error("no ping within {} s", .0.as_secs_f32())]
    NoPing(Duration),
    #[error("a ping carries the 32 characters of a hash, this one has {0} bytes")]
    InvalidHash(usize),
    #[error("a report cannot be read: {0}")]
    Report(#[from] serde_json::Error),
    #[error("an unexpected {0} frame")]
    Unexpected(&'static str),
    #[error("the data plane closed the connection")]
    Closed,
    #[error("this control plane stops")]
    Stopping,
    #[error("{0}")]
    WebSocket(Error),
    #[error("{}", tls::explain(.0).0)]
    Io(std::io::Error),
}

impl From<std::io::Error> for End {
    fn from(error: std::io::Error) -> Self {
        if tls::is_hang_up(&error) {
            Self::Closed
        } else {
            Self::Io(error)
        }
    }
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        match error {
            Error::Io(error) => error.into(),
            Error::ConnectionClosed
            | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Self::Closed,
            error => Self::WebSocket(error),
        }
    }
}

impl Session {
    pub(super) fn new(
        context: Arc<Context>,
        number: u64,
        address: SocketAddr,
        upgraded: Upgraded,
    ) -> Self {
        Self {
            context,
            number,
            address,
            upgraded,
        }
    }

    /// Serves the data plane until one of the two ends it.
    pub(super) async fn run(
        self,
        publications: watch::Receiver<Option<Arc<Publication>>>,
        stop: CancellationToken,
    ) {
        let Self {
            context,
            number,
            address,
            upgraded,
        } = self;
        let Upgraded {
            stream,
            rest,
            node,
            capabilities,
        } = upgraded;
        let id = node.id;
        let peer = Peer::new(context, number, address, node, capabilities, &stream);
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .max_message_size(Some(peer.context.limits.max_payload))
            .max_frame_size(Some(peer.context.limits.max_payload));
        let (read, write) = split(stream);
        let stream = join(read, sink());
        let mut inbox =
            WebSocketStream::from_partially_read(stream, rest, Role::Server, Some(config)).await;
        let mut outbox = Outbox::new(write, peer.context.limits.silence);
        let end = tokio::select! {
            end = peer.serve(&mut inbox, &mut outbox, publications) => end,
            () = stop.cancelled() => End::Stopping,
        };
        peer.forget();
        match end {
            End::Closed | End::Stopping => {
                tracing::info!(%address, node = ?id, "data plane disconnected: {end}");
            }
            _ => tracing::warn!(%address, node = ?id, "data plane disconnected: {end}"),
        }
        // A peer that is gone does not read it; the connection ends in any case.
        let reason = capabilities.reports.then(|| end.to_string());
        let _ = timeout(GOODBYE, outbox.close(reason.as_deref())).await;
    }
}

/// What is known about the data plane at the other end.
struct Peer {
    context: Arc<Context>,
    number: u64,
    capabilities: Capabilities,
    /// Whether it told enough to be recorded.
    recorded: bool,
    record: Mutex<DataPlane>,
    /// One permit for each ping that was not answered yet.
    pongs: Semaphore,
    /// A permit when it asked for the whole configuration.
    wholes: Semaphore,
}

impl Peer {
    fn new(
        context: Arc<Context>,
        number: u64,
        address: SocketAddr,
        node: Node,
        capabilities: Capabilities,
        stream: &TlsStream<TcpStream>,
    ) -> Self {
        let recorded = node.id.is_some()
            && node.hostname.is_some()
            && compatibility::is_recordable(&node.version);
        let hostname = bounded(node.hostname.unwrap_or_default());
        Self {
            context,
            number,
            capabilities,
            recorded,
            record: Mutex::new(DataPlane {
                id: node.id.unwrap_or_default(),
                hostname,
                ip: address.ip(),
                version: bounded(node.version),
                config_hash: EMPTY_CONFIG_HASH.to_owned(),
                sync_status: SyncStatus::Unknown,
                last_seen: now(),
                updated_at: 0,
                labels: None,
                cert_details: certificate_details(stream),
                rpc_capabilities: Vec::new(),
                ttl: 0,
                keelgate: Live {
                    connected: true,
                    ..Live::default()
                },
            }),
            pongs: Semaphore::new(0),
            wholes: Semaphore::new(0),
        }
    }

    /// Greets the data plane, then reads and writes until one of the two ends.
    async fn serve(
        &self,
        inbox: &mut Inbox,
        outbox: &mut Outbox<impl AsyncWrite + Unpin>,
        publications: watch::Receiver<Option<Arc<Publication>>>,
    ) -> End {
        let info = match self.greet(inbox).await {
            Ok(info) => info,
            Err(end) => return end,
        };
        let ended = tokio::select! {
            ended = self.read(inbox) => ended,
            ended = self.write(outbox, publications, &info) => ended,
        };
        ended.err().unwrap_or(End::Closed)
    }

    /// Reads the first message and decides whether the two can work together.
    async fn greet(&self, inbox: &mut Inbox) -> Result<BasicInfo, End> {
        let limit = self.context.limits.basic_info;
        let message = timeout(limit, inbox.next())
            .await
            .map_err(|_| End::NoBasicInfo(limit))?;
        let info = match message.ok_or(End::Closed)?? {
            Message::Binary(message) => BasicInfo::parse(&message)?,
            Message::Close(_) => return Err(End::Closed),
            other => return Err(End::Unexpected(kind(&other))),
        };
        let mut record = self.record();
        record.labels = info.labels.clone().filter(are_few);
        let checked = compatibility::check_version(&self.context.kong_version, &record.version);
        record.sync_status = match &checked {
            Ok(()) => SyncStatus::Normal,
            Err(incompatible) => incompatible.status,
        };
        tracing::info!(ip = %record.ip, node = %record.id, version = %record.version, "data plane connected");
        drop(record);
        if checked.is_err() {
            self.save();
        }
        checked?;
        Ok(info)
    }

    async fn read(&self, inbox: &mut Inbox) -> Result<(), End> {
        let silence = self.context.limits.silence;
        let mut last_ping = Instant::now();
        loop {
            let message = timeout_at(last_ping + silence, inbox.next())
                .await
                .map_err(|_| End::NoPing(silence))?;
            match message.ok_or(End::Closed)?? {
                Message::Ping(hash) => {
                    last_ping = Instant::now();
                    self.heard(&hash)?;
                    self.pongs.add_permits(1);
                }
                Message::Binary(report) if self.capabilities.reports => {
                    self.told(serde_json::from_slice(&report)?);
                }
                Message::Close(_) => return Ok(()),
                other => return Err(End::Unexpected(kind(&other))),
            }
        }
    }

    async fn write(
        &self,
        outbox: &mut Outbox<impl AsyncWrite + Unpin>,
        mut publications: watch::Receiver<Option<Arc<Publication>>>,
        info: &BasicInfo,
    ) -> Result<(), End> {
        publications.mark_changed();
        // The publication that it has.
        let mut sent = None;
        loop {
            tokio::select! {
                biased;
                permit = self.pongs.acquire() => {
                    // The semaphore is never closed.
                    let Ok(permit) = permit else { return Ok(()) };
                    permit.forget();
                    outbox.pong().await?;
                }
                permit = self.wholes.acquire() => {
                    let Ok(permit) = permit else { return Ok(()) };
                    permit.forget();
                    sent = None;
                    publications.mark_changed();
                }
                Ok(()) = publications.changed() => {
                    let newest = publications.borrow_and_update().clone();
                    let Some(publication) = newest else { continue };
                    let before = sent.take().filter(|_| self.capabilities.deltas);
                    if self.may_get(&publication, info)
                        && self.send(outbox, &publication, before, info).await?
                    {
                        sent = Some(publication.number);
                    }
                }
            }
        }
    }

    /// Sends what leads from the publication before, or the whole; tells whether it did.
    async fn send(
        &self,
        outbox: &mut Outbox<impl AsyncWrite + Unpin>,
        publication: &Publication,
        before: Option<u64>,
        info: &BasicInfo,
    ) -> Result<bool, End> {
        let steps = before.and_then(|number| publication.steps_from(number));
        let takes = |step: &Bytes| step.len() <= info.max_payload();
        if let Some(steps) = steps.filter(|steps| steps.iter().all(takes)) {
            for step in steps {
                outbox.document(step.clone()).await?;
            }
            return Ok(true);
        }
        let Some(payload) = publication.whole().await else {
            return Ok(false);
        };
        if !self.takes(&publication.identity, payload.len(), info) {
            return Ok(false);
        }
        outbox.document(payload).await?;
        Ok(true)
    }

    /// Whether the data plane can run the configuration; else the record and the log say why not.
    fn may_get(&self, publication: &Publication, info: &BasicInfo) -> bool {
        let plugins = &self.context.plugins;
        let checked = compatibility::check_plugins(&publication.plugins, plugins, &info.plugins);
        let status = match &checked {
            Ok(()) => SyncStatus::Normal,
            Err(incompatible) => incompatible.status,
        };
        let mut record = self.record();
        let node = record.id;
        let changed = record.sync_status != status;
        record.sync_status = status;
        drop(record);
        if changed {
            self.save();
        }
        let identity = &publication.identity;
        if let Err(error) = checked {
            tracing::warn!(%node, %identity, "configuration not sent: {error}");
            return false;
        }
        true
    }

    /// Whether the data plane accepts a message of this size; else the log says so.
    fn takes(&self, identity: &Identity, bytes: usize, info: &BasicInfo) -> bool {
        let limit = info.max_payload();
        if bytes > limit {
            let node = self.record().id;
            // The data plane would close the connection, come back, and get it again.
            tracing::error!(
                %node, %identity, bytes, limit,
                "configuration not sent: the data plane does not accept a message of this size; \
                 raise cluster_max_payload there"
            );
            return false;
        }
        true
    }

    /// A ping carries the hash of what the data plane runs.
    fn heard(&self, hash: &[u8]) -> Result<(), End> {
        if hash.len() != EMPTY_CONFIG_HASH.len() {
            return Err(End::InvalidHash(hash.len()));
        }
        let mut record = self.record();
        record.config_hash = String::from_utf8_lossy(hash).into_owned();
        record.last_seen = now();
        drop(record);
        self.save();
        Ok(())
    }

    fn told(&self, report: Report) {
        let mut record = self.record();
        match report {
            Report::Status { identity, source } => {
                if record.keelgate.identity != identity {
                    record.keelgate.rejection = None;
                }
                record.keelgate.identity = identity;
                record.keelgate.source = source.filter(|source| source.len() <= MAX_SOURCE);
            }
            Report::Rejection(rejection) => {
                let rejection = rejection.bounded();
                tracing::error!(
                    node = %record.id,
                    hostname = %record.hostname,
                    snapshot = rejection.identity.map(|identity| identity.to_string()),
                    "a data plane refuses the configuration: {}", rejection.reason
                );
                record.keelgate.rejection = Some(rejection);
            }
            Report::Whole => {
                if self.wholes.available_permits() == 0 {
                    self.wholes.add_permits(1);
                }
                return;
            }
            Report::Unknown => return,
        }
        drop(record);
        self.save();
    }

    fn save(&self) {
        if self.recorded {
            let record = self.record().clone();
            self.context.data_planes.put(self.number, record);
        }
    }

    fn forget(&self) {
        let id = self.record().id;
        self.context.data_planes.disconnected(self.number, id);
    }

    fn record(&self) -> MutexGuard<'_, DataPlane> {
        // Fields are set one by one, each whole.
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A text of a data plane that is kept and logged: short, and in one line.
fn bounded(mut text: String) -> String {
    text.retain(|c| !c.is_control());
    text.truncate(text.floor_char_boundary(MAX_NAME));
    text
}

/// Whether labels can be kept: operators write a few words, and a record for each data plane stays
/// in memory.
fn are_few(labels: &Map<String, Value>) -> bool {
    let bytes = |(key, value): (&String, &Value)| key.len() + value.to_string().len();
    labels.iter().map(bytes).sum::<usize>() <= MAX_LABELS
}

fn kind(message: &Message) -> &'static str {
    match message {
        Message::Text(_) => "text",
        Message::Binary(_) => "binary",
        Message::Ping(_) => "ping",
        Message::Pong(_) => "pong",
        Message::Close(_) => "close",
        Message::Frame(_) => "raw",
    }
}

fn certificate_details(stream: &TlsStream<TcpStream>) -> CertificateDetails {
    let (_, connection) = stream.get_ref();
    connection
        .peer_certificates()
        .and_then(|chain| X509Certificate::from_der(chain.first()?).ok())
        .map(|(_, certificate)| CertificateDetails {
            expiry_timestamp: certificate.validity().not_after.timestamp(),
        })
        .unwrap_or_default()
}
