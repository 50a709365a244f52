//! How `loggly` sends: messages of syslog (RFC 5424) in datagrams.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use keelgate_entities::kinds;

use super::config::Config;
use crate::error::Reason;
use crate::logging::batch::Batch;
use crate::logging::fields::Fields;
use crate::logging::logger::{self, Tell};
use crate::logging::network::Address;
use crate::logging::queue::{Settings, Sink};
use crate::logging::severity::Severities;
use crate::logging::{datagrams, json, record, session, stamp};
use crate::registry::Node;
use crate::stream::Ended;
use crate::{Directory, Exchange, Plugin, setting};

/// The facility `user`, as a part of priorities.
const USER: u8 = 8;

struct Messages {
    severities: Severities,
    fields: Fields,
    /// What stands between time and record: the machine, token and tags.
    middle: String,
}

struct Receiver {
    address: Address,
    limit: Duration,
}

/// Compiles a configuration.
pub(crate) fn compile(
    node: &Node,
    plugin: &kinds::Plugin,
    _directory: &Arc<Directory>,
) -> Result<Arc<dyn Plugin>, Reason> {
    let config: Config = setting::decode(&plugin.config)?;
    let tags = config.tags.unwrap_or_default();
    let tags: Vec<_> = tags.iter().map(|tag| format!("tag=\"{tag}\"")).collect();
    let messages = Messages {
        severities: config.severities,
        fields: Fields::compile(&config.custom_fields_by_lua)?,
        middle: format!(
            " {} kong - - [{}@41058 {}] ",
            node.hostname,
            config.key,
            tags.join(" ")
        ),
    };
    let receiver = Receiver {
        address: Address {
            host: config.host.unwrap_or("logs-01.loggly.com".to_owned()),
            port: config.port.unwrap_or(514),
            names: node.names.clone(),
        },
        limit: setting::milliseconds("timeout", config.timeout.unwrap_or(10_000.0))?,
    };
    let settings = Settings::of_datagrams();
    Ok(logger::telling(node, plugin, settings, messages, receiver))
}

impl Messages {
    /// Appends what stands before the record.
    fn head(&self, severity: u8, at: SystemTime, out: &mut Vec<u8>) {
        out.push(b'<');
        json::number(out, USER + severity);
        out.extend_from_slice(b">1 ");
        stamp::of_rfc5424(at, out);
        out.extend_from_slice(self.middle.as_bytes());
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

impl Sink for Receiver {
    async fn send(&self, batch: &Batch) -> Result<(), String> {
        datagrams::send(&self.address, self.limit, batch.records()).await
    }
}
