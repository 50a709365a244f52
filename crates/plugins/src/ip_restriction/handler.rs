//! How `ip-restriction` judges a client.

use std::sync::Arc;

use http::StatusCode;
use keelgate_entities::kinds;

use super::addresses::Addresses;
use super::config::Config;
use crate::error::Reason;
use crate::registry::Node;
use crate::{Access, Directory, Exchange, Flow, Phases, Plugin, Response, setting};

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
        let address = exchange.client.ip.to_canonical();
        let denied = self.deny.contains(address);
        if !denied && (self.allow.is_empty() || self.allow.contains(address)) {
            return Access::Ready(Flow::Continue);
        }
        let message = match &self.message {
            Some(message) => message.clone(),
            None => format!("IP address not allowed: {address}"),
        };
        let response = Response::error(self.status, message);
        Access::Ready(Flow::Respond(Box::new(response)))
    }
}
