//! A server, shared by all configurations that name it in the same way.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::{self, ThreadId};
use std::time::Duration;

use redis::{FromRedisValue, Pipeline};

use super::Settings;
use super::connect::Target;
use super::link::{Link, Unanswered};
use crate::error::Reason;
use crate::registry::Node;

/// The servers that configurations of this node name.
#[derive(Debug, Default)]
pub(crate) struct Servers(Mutex<Vec<Weak<Server>>>);

/// A server. Its connections end with it.
pub(crate) struct Server {
    settings: Settings,
    target: Arc<Target>,
    patience: Duration,
    /// A connection for each thread that serves requests: no thread waits for another.
    links: papaya::HashMap<ThreadId, Arc<Link>>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Server").field(&self.settings).finish()
    }
}

impl Servers {
    /// The server that these settings describe.
    ///
    /// # Errors
    /// When a setting is absent, or the name of the server cannot stand in a certificate.
    pub(crate) fn server(&self, settings: &Settings, node: &Node) -> Result<Arc<Server>, Reason> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|server| server.strong_count() > 0);
        let mut servers = known.iter().filter_map(Weak::upgrade);
        if let Some(server) = servers.find(|server| server.settings == *settings) {
            return Ok(server);
        }
        let server = Arc::new(Server::new(settings, node)?);
        known.push(Arc::downgrade(&server));
        Ok(server)
    }
}

impl Server {
    fn new(settings: &Settings, node: &Node) -> Result<Self, Reason> {
        if settings.host.is_none() {
            return Err(Reason::setting("redis.host", "required for this policy"));
        }
        let target = Target::new(settings, node);
        let target = target.map_err(|problem| {
            let field = match settings.server_name {
                Some(_) => "redis.server_name",
                None => "redis.host",
            };
            Reason::setting(field, problem)
        })?;
        if settings.ssl && !settings.ssl_verify {
            let server = target.name();
            tracing::warn!(
                server,
                "the certificate of Redis is not verified; set redis.ssl_verify"
            );
        }
        Ok(Self {
            settings: settings.clone(),
            target: Arc::new(target),
            patience: Duration::from_millis(settings.timeout.unwrap_or(2000)),
            links: papaya::HashMap::new(),
        })
    }

    /// Asks, and waits no longer than the settings say: once for a connection, once for the answer.
    ///
    /// # Errors
    /// When the server cannot be reached, takes too long, or refuses.
    pub(crate) async fn ask<T: FromRedisValue>(&self, asked: &Pipeline) -> Result<T, Unanswered> {
        let link = {
            let links = self.links.pin();
            let link = links.get_or_insert_with(thread::current().id(), || Arc::new(Link::new()));
            Arc::clone(link)
        };
        link.ask(&self.target, self.patience, asked).await
    }
}
