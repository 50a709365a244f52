//! How `correlation-id` makes and passes on ids.

use std::cell::Cell;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use keelgate_entities::kinds;
use uuid::Uuid;

use super::config::{Config, Generator, NAME};
use crate::error::Reason;
use crate::registry::Node;
use crate::{Access, Directory, Exchange, Flow, Phases, Plugin, setting};

/// A compiled `correlation-id`.
pub(crate) struct CorrelationId {
    header: HeaderName,
    generator: Generator,
    echo: bool,
}

thread_local! {
    /// Ids of a thread, and how many it made. Threads do not share them, so that cores do not
    /// contend for a counter.
    static WORKER: (Uuid, Cell<u64>) = (random(), Cell::new(0));
}

/// Compiles a configuration.
pub(crate) fn compile(
    _node: &Node,
    plugin: &kinds::Plugin,
    _directory: &Arc<Directory>,
) -> Result<Arc<dyn Plugin>, Reason> {
    let config: Config = setting::decode(&plugin.config)?;
    let header = config.header_name;
    let header = header.ok_or_else(|| Reason::setting("header_name", "required"))?;
    Ok(Arc::new(CorrelationId {
        header: setting::header_name("header_name", &header)?,
        generator: config.generator,
        echo: config.echo_downstream,
    }))
}

impl CorrelationId {
    /// The id that the request brought, if it is not empty.
    fn received(&self, exchange: &Exchange<'_>) -> Option<HeaderValue> {
        let value = exchange.headers.get(&self.header)?;
        (!value.is_empty()).then(|| value.clone())
    }

    fn make(&self, exchange: &Exchange<'_>) -> HeaderValue {
        let mut id = Vec::with_capacity(64);
        let written = match self.generator {
            Generator::Uuid => write!(id, "{}", random()),
            Generator::Counter => {
                let (worker, count) = next();
                write!(id, "{worker}#{count}")
            }
            Generator::Tracker => {
                let local = exchange.client.local;
                let time = exchange.times.received_at.duration_since(UNIX_EPOCH);
                write!(
                    id,
                    "{}-{}-{}-{}-{}-{:.3}",
                    local.ip(),
                    local.port(),
                    std::process::id(),
                    // Together with the local end this names the connection.
                    exchange.client.peer.port(),
                    next().1,
                    time.unwrap_or(Duration::ZERO).as_secs_f64(),
                )
            }
        };
        written.expect("memory can be written to");
        HeaderValue::from_maybe_shared(Bytes::from(id))
            .expect("ids consist of letters, digits and punctuation")
    }
}

/// Ids need not be unpredictable, only different.
fn random() -> Uuid {
    uuid::Builder::from_random_bytes(fastrand::u128(..).to_ne_bytes()).into_uuid()
}

fn next() -> (Uuid, u64) {
    WORKER.with(|(worker, count)| {
        count.set(count.get() + 1);
        (*worker, count.get())
    })
}

impl Plugin for CorrelationId {
    fn phases(&self) -> Phases {
        Phases {
            access: true,
            header_filter: self.echo,
            ..Phases::default()
        }
    }

    fn access<'a, 'r: 'a>(&'r self, exchange: &'a mut Exchange<'r>) -> Access<'a> {
        let id = self.received(exchange).unwrap_or_else(|| {
            let id = self.make(exchange);
            exchange.headers.insert(self.header.clone(), id.clone());
            id
        });
        if self.echo {
            exchange.kept.push((NAME, Box::new(id)));
        }
        Access::Ready(Flow::Continue)
    }

    fn header_filter<'r>(&'r self, exchange: &mut Exchange<'r>) {
        // A global plugin also sees responses to requests that never came to `access`.
        let kept = exchange.kept.iter().find(|(name, _)| *name == NAME);
        let id = kept
            .and_then(|(_, id)| id.downcast_ref::<HeaderValue>().cloned())
            .or_else(|| self.received(exchange))
            .unwrap_or_else(|| self.make(exchange));
        exchange.response.headers.insert(self.header.clone(), id);
    }
}
