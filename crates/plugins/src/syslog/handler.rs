//! How `syslog` tells the machine's log, in the form in which the C library does.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use keelgate_entities::kinds;
use tokio::net::UnixDatagram;
use tokio::time::timeout;

use super::config::Config;
use crate::error::Reason;
use crate::logging::fields::Fields;
use crate::logging::logger::{self, Tell};
use crate::logging::queue::{Settings, Sink};
use crate::logging::record;
use crate::logging::severity::Severities;
use crate::registry::Node;
use crate::{Directory, Exchange, Plugin, setting};

/// Where the machine's log is.
const SOCKET: &str = "/dev/log";

/// How long the machine's log may take to listen.
const LIMIT: Duration = Duration::from_secs(10);

/// What records are told about.
pub(super) struct Messages {
    pub(super) severities: Severities,
    pub(super) facility: u8,
    pub(super) fields: Fields,
    pub(super) zone: TimeZone,
    pub(super) process: u32,
}

/// The machine's log.
pub(super) struct Log(PathBuf);

/// Compiles a configuration.
pub(crate) fn compile(
    node: &Node,
    plugin: &kinds::Plugin,
    _directory: &Arc<Directory>,
) -> Result<Arc<dyn Plugin>, Reason> {
    compile_for(node, plugin, Path::new(SOCKET))
}

/// Compiles a configuration for the log at this socket.
pub(super) fn compile_for(
    node: &Node,
    plugin: &kinds::Plugin,
    socket: &Path,
) -> Result<Arc<dyn Plugin>, Reason> {
    let config: Config = setting::decode(&plugin.config)?;
    let messages = Messages {
        severities: config.severities,
        facility: config.facility(),
        fields: Fields::compile(&config.custom_fields_by_lua)?,
        zone: TimeZone::system(),
        process: std::process::id(),
    };
    let settings = Settings::of_datagrams();
    let log = Log(socket.to_owned());
    Ok(logger::telling(node, plugin, settings, messages, log))
}

impl Messages {
    /// What stands before the record.
    pub(super) fn head(&self, severity: u8, at: SystemTime) -> Vec<u8> {
        let at = Timestamp::try_from(at).unwrap_or_default();
        let at = at.to_zoned(self.zone.clone()).strftime("%b %e %H:%M:%S");
        let priority = u16::from(self.facility) * 8 + u16::from(severity);
        let mut head = Vec::new();
        let written = write!(head, "<{priority}>{at} kong[{}]: ", self.process);
        written.expect("texts and numbers are written to memory");
        head
    }
}

impl Tell for Messages {
    fn tell(&self, exchange: &Exchange<'_>) -> Option<Bytes> {
        let severity = self.severities.of(exchange.response.status.as_u16())?;
        let mut message = self.head(severity, exchange.ended_at());
        record::write(exchange, &self.fields, &mut message);
        Some(message.into())
    }
}

impl Sink for Log {
    async fn send(&self, batch: &[Bytes]) -> Result<(), String> {
        let send = async {
            let socket = UnixDatagram::unbound()?;
            socket.connect(&self.0)?;
            let mut outcome = Ok(());
            for message in batch {
                let sent = socket.send(message).await;
                outcome = outcome.and(sent.map(drop));
            }
            outcome
        };
        let sent = timeout(LIMIT, send).await;
        sent.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(|problem| format!("{}: {problem}", self.0.display()))
    }
}
