//! A session that plugins log, and what they are told of it.

use std::sync::Arc;

use keelgate_entities::kinds::{Route, Service};
use keelgate_plugins::StreamPlugin;
use keelgate_plugins::exchange::Client;
use keelgate_plugins::stream::Ended;
use keelgate_runtime::{Chain, Routed};

/// What outlives the configuration that a session began with, for the plugins that log it.
pub(super) struct Logged {
    chain: Arc<Chain>,
    pub(super) client: Client,
    pub(super) route: Route,
    pub(super) service: Option<Service>,
}

impl Logged {
    /// None for a session that no plugin logs.
    pub(super) fn of(routed: &Routed<'_>, client: &Client) -> Option<Self> {
        let is_logged = loggers(routed.chain).next().is_some();
        is_logged.then(|| Self {
            chain: routed.keep_chain(),
            client: client.clone(),
            route: routed.route.clone(),
            service: routed.service.map(|entry| entry.service.clone()),
        })
    }

    /// Tells the plugins.
    pub(super) fn tell(&self, ended: &Ended<'_>) {
        loggers(&self.chain).for_each(|plugin| plugin.log(ended));
    }
}

/// Nobody authenticates on streams, so there is no consumer.
fn loggers(chain: &Chain) -> impl Iterator<Item = &dyn StreamPlugin> {
    let plugins = chain.links().iter().filter_map(|link| link.resolve(None));
    let plugins = plugins.filter_map(|plugin| plugin.stream());
    plugins.filter(|plugin| plugin.logs())
}
