//! How `bot-detection` judges a client.

use std::sync::Arc;

use http::StatusCode;
use http::header::USER_AGENT;
use keelgate_entities::kinds;
use regex::bytes::RegexSet;

use super::config::Config;
use super::rules::KNOWN;
use crate::error::Reason;
use crate::registry::Node;
use crate::{Access, Directory, Exchange, Flow, Phases, Plugin, Response, setting};

/// A compiled `bot-detection`.
pub(crate) struct BotDetection {
    allow: RegexSet,
    deny: RegexSet,
}

/// Compiles a configuration.
pub(crate) fn compile(
    _node: &Node,
    plugin: &kinds::Plugin,
    _directory: &Arc<Directory>,
) -> Result<Arc<dyn Plugin>, Reason> {
    let config: Config = setting::decode(&plugin.config)?;
    let rules = |field, expressions: &[String]| {
        RegexSet::new(expressions).map_err(|problem| Reason::setting(field, problem))
    };
    Ok(Arc::new(BotDetection {
        allow: rules("allow", &config.allow)?,
        deny: rules("deny", &config.deny)?,
    }))
}

impl BotDetection {
    fn judge(&self, exchange: &Exchange<'_>) -> Result<(), Response> {
        let mut agents = exchange.headers.get_all(USER_AGENT).iter();
        let agent = match (agents.next(), agents.next()) {
            (None, _) => return Ok(()),
            (Some(agent), None) => agent.as_bytes().trim_ascii(),
            (Some(_), Some(_)) => {
                let message = "Only one User-Agent header allowed";
                return Err(Response::error(StatusCode::BAD_REQUEST, message));
            }
        };
        if self.allow.is_match(agent) || !(self.deny.is_match(agent) || KNOWN.is_match(agent)) {
            return Ok(());
        }
        Err(Response::error(StatusCode::FORBIDDEN, "Forbidden"))
    }
}

impl Plugin for BotDetection {
    fn phases(&self) -> Phases {
        Phases {
            access: true,
            ..Phases::default()
        }
    }

    fn access<'a, 'r: 'a>(&'r self, exchange: &'a mut Exchange<'r>) -> Access<'a> {
        Access::Ready(match self.judge(exchange) {
            Ok(()) => Flow::Continue,
            Err(refusal) => Flow::Respond(Box::new(refusal)),
        })
    }
}
