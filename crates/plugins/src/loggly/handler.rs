//! How `loggly` sends: messages of syslog (RFC 5424) in datagrams.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use keelgate_entities::kinds;

use super::config::Config;
use crate::error::Reason;
use crate::logging::fields::Fields;
use crate::logging::logger::{self, Tell};
use crate::logging::network::{self, Address};
use crate::logging::queue::{Settings, Sink};
use crate::logging::record;
use crate::logging::severity::Severities;
use crate::registry::Node;
use crate::{Directory, Exchange, Plugin, setting};

/// The facility `user`, as a part of priorities.
const USER: u8 = 8;

struct Messages {
    severities: Severities,
    fields: Fields,
    hostname: String,
    /// Token and tags.
    data: String,
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
        hostname: node.hostname.clone(),
        data: format!("[{}@41058 {}]", config.key, tags.join(" ")),
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

impl Tell for Messages {
    fn tell(&self, exchange: &Exchange<'_>) -> Option<Bytes> {
        let priority = USER + self.severities.of(exchange.response.status.as_u16())?;
        let at = Timestamp::try_from(exchange.ended_at()).unwrap_or_default();
        let at = at.strftime("%Y-%m-%dT%H:%M:%SZ");
        let (hostname, data) = (&self.hostname, &self.data);
        let mut message = Vec::new();
        write!(message, "<{priority}>1 {at} {hostname} kong - - {data} ")
            .expect("texts and numbers are written to memory");
        record::write(exchange, &self.fields, &mut message);
        Some(message.into())
    }
}

impl Sink for Receiver {
    async fn send(&self, batch: &[Bytes]) -> Result<(), String> {
        network::send_datagrams(&self.address, self.limit, batch).await
    }
}
