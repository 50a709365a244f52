//! How `syslog` tells the machine's log, in the form in which the C library does.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::tz::TimeZone;
use keelgate_entities::kinds;

use super::config::Config;
use crate::error::Reason;
use crate::logging::batch::Batch;
use crate::logging::fields::Fields;
use crate::logging::logger::{self, Tell};
use crate::logging::queue::{Settings, Sink};
use crate::logging::severity::Severities;
use crate::logging::{datagrams, json, record, session, stamp};
use crate::registry::Node;
use crate::stream::Ended;
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
    /// Appends what stands before the record.
    pub(super) fn head(&self, severity: u8, at: SystemTime, out: &mut Vec<u8>) {
        out.push(b'<');
        json::number(out, u16::from(self.facility) * 8 + u16::from(severity));
        out.push(b'>');
        stamp::of_syslog(at, &self.zone, out);
        out.extend_from_slice(b" kong[");
        json::number(out, self.process);
        out.extend_from_slice(b"]: ");
    }
}

impl Tell for Messages {
    fn tell(&self, exchange: &Exchange<'_>, out: &mut Vec<u8>) {
        if let Some(severity) = self.severities.of(exchange.response.status.as_u16()) {
            self.head(severity, exchange.ended_at(), out);
            record::write(exchange, &self.fields, out);
        }
    }

    fn tell_session(&self, ended: &Ended<'_>, out: &mut Vec<u8>) {
        if let Some(severity) = self.severities.of_session() {
            self.head(severity, ended.ended_at(), out);
            session::write(ended, &self.fields, out);
        }
    }
}

impl Sink for Log {
    async fn send(&self, batch: &Batch) -> Result<(), String> {
        datagrams::send_here(&self.0, LIMIT, batch.records()).await
    }
}
