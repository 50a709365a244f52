//! A plugin that puts something about every request into a queue.

use std::collections::BTreeMap;
use std::sync::Arc;

use keelgate_entities::kinds;

use super::fields::Fields;
use super::queue::{Queue, Settings, Sink};
use super::{record, session};
use crate::error::Reason;
use crate::registry::Node;
use crate::stream::Ended;
use crate::{Exchange, Phases, Plugin, StreamPlugin};

/// What is told about a request.
pub(crate) trait Tell: Send + Sync + 'static {
    /// Appends what is put into the queue; nothing for a request that is passed over.
    fn tell(&self, exchange: &Exchange<'_>, out: &mut Vec<u8>);

    /// The same for a TCP, TLS or UDP session.
    fn tell_session(&self, ended: &Ended<'_>, out: &mut Vec<u8>);
}

struct Logger<T> {
    tell: T,
    queue: Queue,
}

/// The plugin that puts into a queue what is told about requests.
pub(crate) fn telling(
    node: &Node,
    plugin: &kinds::Plugin,
    settings: Settings,
    tell: impl Tell,
    sink: impl Sink,
) -> Arc<dyn Plugin> {
    let queue = Queue::new(settings, name_of(plugin), sink, &node.delivery);
    Arc::new(Logger { tell, queue })
}

/// What tells the queue of a plugin apart in logs.
pub(crate) fn name_of(plugin: &kinds::Plugin) -> String {
    format!("{} {}", plugin.name, plugin.id)
}

/// The plugin whose records go to a sink.
pub(crate) fn compile(
    node: &Node,
    plugin: &kinds::Plugin,
    settings: Settings,
    custom_fields: &BTreeMap<String, String>,
    sink: impl Sink,
) -> Result<Arc<dyn Plugin>, Reason> {
    let fields = Fields::compile(custom_fields)?;
    Ok(telling(node, plugin, settings, fields, sink))
}

/// A record without anything around it.
impl Tell for Fields {
    fn tell(&self, exchange: &Exchange<'_>, out: &mut Vec<u8>) {
        record::write(exchange, self, out);
    }

    fn tell_session(&self, ended: &Ended<'_>, out: &mut Vec<u8>) {
        session::write(ended, self, out);
    }
}

impl<T: Tell> Plugin for Logger<T> {
    fn phases(&self) -> Phases {
        Phases {
            log: true,
            ..Phases::default()
        }
    }

    fn stream(&self) -> Option<&dyn StreamPlugin> {
        Some(self)
    }

    fn log<'r>(&'r self, exchange: &mut Exchange<'r>) {
        self.queue.push(|out| self.tell.tell(exchange, out));
    }
}

impl<T: Tell> StreamPlugin for Logger<T> {
    fn logs(&self) -> bool {
        true
    }

    fn log(&self, ended: &Ended<'_>) {
        self.queue.push(|out| self.tell.tell_session(ended, out));
    }
}
