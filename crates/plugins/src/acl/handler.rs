//! How `acl` judges a consumer.

use std::collections::HashSet;
use std::sync::Arc;

use http::StatusCode;
use http::header::{HeaderName, HeaderValue};
use keelgate_entities::kinds;
use rustc_hash::FxBuildHasher;

use super::config::Config;
use crate::error::Reason;
use crate::registry::Node;
use crate::{Access, Directory, Exchange, Flow, Phases, Plugin, Response, setting};

const GROUPS: HeaderName = HeaderName::from_static("x-consumer-groups");

/// A compiled `acl`.
pub(crate) struct Acl {
    groups: HashSet<String, FxBuildHasher>,
    /// Whether members are refused, instead of all others.
    deny: bool,
    hide_groups: bool,
    directory: Arc<Directory>,
}

/// Compiles a configuration.
pub(crate) fn compile(
    _node: &Node,
    plugin: &kinds::Plugin,
    directory: &Arc<Directory>,
) -> Result<Arc<dyn Plugin>, Reason> {
    let config: Config = setting::decode(&plugin.config)?;
    let denied = config.deny.filter(|groups| !groups.is_empty());
    let deny = denied.is_some();
    let groups = denied.or(config.allow).unwrap_or_default();
    Ok(Arc::new(Acl {
        groups: groups.into_iter().collect(),
        deny,
        hide_groups: config.hide_groups_header,
        directory: Arc::clone(directory),
    }))
}

impl Acl {
    /// The names of the caller's groups if it is let through, or else why it is not.
    fn judge(&self, exchange: &Exchange<'_>) -> Result<&[String], Box<Response>> {
        let groups = exchange
            .consumer
            .and_then(|consumer| self.directory.groups(consumer));
        let names = match (exchange.consumer, groups) {
            (Some(_), Some(groups)) => groups.names(),
            (Some(_), None) if self.deny => &[],
            _ if exchange.credential.is_some() => return Err(forbidden()),
            _ => {
                return Err(Box::new(Response::error(
                    StatusCode::UNAUTHORIZED,
                    "Unauthorized",
                )));
            }
        };
        let is_member = names.iter().any(|name| self.groups.contains(name));
        if is_member == self.deny {
            return Err(forbidden());
        }
        Ok(names)
    }
}

fn forbidden() -> Box<Response> {
    Box::new(Response::error(
        StatusCode::FORBIDDEN,
        "You cannot consume this service",
    ))
}

impl Plugin for Acl {
    fn phases(&self) -> Phases {
        Phases {
            access: true,
            ..Phases::default()
        }
    }

    fn access<'a, 'r: 'a>(&'r self, exchange: &'a mut Exchange<'r>) -> Access<'a> {
        let names = match self.judge(exchange) {
            Ok(names) => names,
            Err(response) => return Access::Ready(Flow::Respond(response)),
        };
        if !self.hide_groups {
            // A name that cannot stand in a header must not let through what the client says.
            match HeaderValue::try_from(names.join(", ").into_bytes()) {
                Ok(value) => exchange.headers.insert(GROUPS, value),
                Err(_) => exchange.headers.remove(GROUPS),
            };
        }
        Access::Ready(Flow::Continue)
    }
}
