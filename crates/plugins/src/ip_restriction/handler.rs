//! How `ip-restriction` judges a client.

use std::net::IpAddr;
use std::sync::Arc;

use http::StatusCode;
use keelgate_entities::kinds;

use super::addresses::Addresses;
use super::config::Config;
use crate::error::Reason;
use crate::registry::Node;
use crate::stream::{Refusal, Session};
use crate::{Access, Directory, Exchange, Flow, Phases, Plugin, Response, StreamPlugin, setting};

/// A compiled `ip-restriction`.
pub(crate) struct IpRestriction {
    allow: Addresses,
    deny: Addresses,
    status: StatusCode,
    message: Option<String>,
}

/// Compiles a configuration.
pub(crate) fn compile(
    _node: &Node,
    plugin: &kinds::Plugin,
    _directory: &Arc<Directory>,
) -> Result<Arc<dyn Plugin>, Reason> {
    let config: Config = setting::decode(&plugin.config)?;
    Ok(Arc::new(IpRestriction {
        allow: Addresses::new("allow", &config.allow.unwrap_or_default())?,
        deny: Addresses::new("deny", &config.deny.unwrap_or_default())?,
        // A fraction is cut off, as a status line would.
        status: setting::status("status", config.status.unwrap_or(403.0) as u16)?,
        message: config.message,
    }))
}

impl Plugin for IpRestriction {
    fn phases(&self) -> Phases {
        Phases {
            access: true,
            ..Phases::default()
        }
    }

    fn access<'a, 'r: 'a>(&'r self, exchange: &'a mut Exchange<'r>) -> Access<'a> {
        Access::Ready(match self.refusal(exchange.client.ip) {
            None => Flow::Continue,
            Some(message) => Flow::Respond(Box::new(Response::error(self.status, message))),
        })
    }

    fn stream(&self) -> Option<&dyn StreamPlugin> {
        Some(self)
    }
}

impl StreamPlugin for IpRestriction {
    fn preread(&self, session: &Session<'_>) -> Result<(), Refusal> {
        match self.refusal(session.client.ip) {
            None => Ok(()),
            Some(message) => Err(Refusal {
                status: self.status.as_u16(),
                message,
            }),
        }
    }
}

impl IpRestriction {
    /// What a client with this address is told; none for one that is let through.
    fn refusal(&self, address: IpAddr) -> Option<String> {
        let address = address.to_canonical();
        let denied = self.deny.contains(address);
        if !denied && (self.allow.is_empty() || self.allow.contains(address)) {
            return None;
        }
        Some(match &self.message {
            Some(message) => message.clone(),
            None => format!("IP address not allowed: {address}"),
        })
    }
}
