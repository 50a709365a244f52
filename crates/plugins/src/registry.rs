//! Which plugins this build has, and the state that they keep across configurations.

mod table;

use std::sync::Arc;
use std::time::Duration;

use keelgate_entities::kinds;
use keelgate_entities::schema::{PluginSchema, each_reference};
use rustls::RootCertStore;
use uuid::Uuid;

use self::table::{BESIDE_REQUESTS, PLUGINS, WITH_DATABASE};
use crate::acme::Acme;
use crate::error::{PluginError, Reason};
use crate::function::client::Clients;
use crate::ldap_auth::verdicts::Verdicts;
use crate::logging::delivery::Delivery;
use crate::names::{HostNames, Names};
use crate::oauth2::recent::Recent;
use crate::peer_tls::Trust;
use crate::prometheus::metrics::Metrics;
use crate::proxy_cache::store::Store;
use crate::rate_limiting::counters::Counters;
use crate::rate_limiting::tally::Tallies;
use crate::records::{Records, Room};
use crate::redis::Servers;
use crate::{Certificates, Directory, KeptResponses, Plugin, custom};

/// What plugins report as their version: that of the interfaces they are compatible with.
pub(crate) const VERSION: &str = keelgate_entities::KONG_API_VERSION;

/// What plugins know of the node, and keep on it beyond the life of a configuration.
#[derive(Debug)]
pub(crate) struct Node {
    /// Identity of the node.
    pub(crate) id: Uuid,
    /// Name of the machine.
    pub(crate) hostname: String,
    /// Counts of `rate-limiting` and `response-ratelimiting`.
    pub(crate) rate_limits: Arc<Counters>,
    /// Redis servers.
    pub(crate) redis: Servers,
    /// Certificates that `acme` has got.
    pub(crate) acme: Acme,
    /// Who asks functions.
    pub(crate) functions: Clients,
    /// Counts on their way to Redis.
    pub(crate) tallies: Tallies,
    /// What LDAP servers have said.
    pub(crate) ldap_verdicts: Arc<Verdicts>,
    /// Whose certificates are believed in.
    pub(crate) trust: Trust,
    /// By which hosts are found.
    pub(crate) names: Names,
    /// Responses that `proxy-cache` keeps.
    pub(crate) proxy_cache: Arc<Store>,
    /// Where records are delivered.
    pub(crate) delivery: Arc<Delivery>,
    /// What `prometheus` counts.
    pub(crate) metrics: Arc<Metrics>,
    /// Short-lived records.
    pub(crate) records: Room,
    /// Tokens of `oauth2` that have been seen lately.
    pub(crate) recent_tokens: Arc<Recent>,
}

/// The plugins of this build and their node-wide state. One per node; configurations come and go.
#[derive(Debug)]
pub struct Registry {
    node: Node,
    schemas: Vec<PluginSchema>,
}

impl Registry {
    /// For the node with this id and host name.
    pub fn new(node_id: Uuid, hostname: impl Into<String>) -> Self {
        Self {
            node: Node {
                id: node_id,
                hostname: hostname.into(),
                rate_limits: Arc::new(Counters::new()),
                redis: Servers::default(),
                acme: Acme::default(),
                functions: Clients::default(),
                tallies: Tallies::default(),
                ldap_verdicts: Arc::new(Verdicts::new()),
                trust: Trust::default(),
                names: Names::default(),
                proxy_cache: Arc::new(Store::new()),
                delivery: Arc::default(),
                metrics: Arc::default(),
                records: Room::default(),
                recent_tokens: Arc::default(),
            },
            schemas: Self::schemas(),
        }
    }

    /// With the authorities whose certificates are believed in where plugins verify servers; without
    /// any, no server is.
    #[must_use]
    pub fn trusting(mut self, authorities: Arc<RootCertStore>) -> Self {
        self.node.trust = Trust::new(authorities);
        self
    }

    /// Lets plugins have short-lived records; those that are compiled from now on.
    pub fn keep_records(&self, records: Arc<dyn Records>) {
        self.node.records.furnish(records);
    }

    /// Finds the hosts that plugins ask in this way from now on; until then, in that of the system.
    pub fn find_hosts_by(&self, names: Arc<dyn HostNames>) {
        self.node.names.find_by(names);
    }

    /// The node, for tests of single plugins.
    #[cfg(test)]
    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    /// What `prometheus` has counted, in Prometheus' text format; nothing where it is not
    /// configured.
    pub fn metrics(&self) -> String {
        self.node.metrics.render()
    }

    /// Whether `prometheus` is configured to tell the health of targets.
    pub fn tells_health(&self) -> bool {
        self.node.metrics.wants_health()
    }

    /// The responses that `proxy-cache` keeps.
    pub fn kept_responses(&self) -> KeptResponses {
        KeptResponses::of(&self.node.proxy_cache)
    }

    /// The certificates that `acme` gets; none where it is not configured.
    pub fn certificates(&self) -> Option<Certificates> {
        let issuer = self.node.acme.issuer()?;
        Some(Certificates::of(issuer, &self.node.delivery))
    }

    /// Records about requests since the start that could not be delivered.
    pub fn records_lost(&self) -> u64 {
        self.node.delivery.lost()
    }

    /// Delivers the records that wait, for so long at most; called when the node ends.
    pub async fn finish(&self, limit: Duration) {
        self.node.delivery.finish(limit).await;
    }

    /// Descriptions of all plugins' settings, for nodes that serve without a database, and for what
    /// configures them.
    pub fn schemas() -> Vec<PluginSchema> {
        let own = PLUGINS.iter().map(|entry| (entry.schema)());
        own.chain(custom::schemas()).collect()
    }

    /// The same for nodes that serve with a database.
    pub fn schemas_with_database() -> Vec<PluginSchema> {
        let mut schemas = Self::schemas();
        for schema in WITH_DATABASE.iter().map(|schema| schema()) {
            let mut known = schemas.iter_mut();
            if let Some(known) = known.find(|known| known.name == schema.name) {
                *known = schema;
            }
        }
        schemas
    }

    /// The priority of a plugin: within a phase, a higher one runs first. `None` for a plugin that
    /// this build does not have.
    pub fn priority(&self, name: &str) -> Option<i32> {
        self.schema(name).map(|schema| schema.priority)
    }

    fn schema(&self, name: &str) -> Option<&PluginSchema> {
        self.schemas.iter().find(|schema| schema.name == name)
    }

    /// Shows every reference to a secret (`{vault://…}`) in a plugin's settings, with the dotted
    /// path of its setting, to `act`, which puts what it stands for in its place.
    pub fn each_reference(
        &self,
        plugin: &mut kinds::Plugin,
        act: &mut dyn FnMut(&str, &mut String),
    ) {
        if let Some(schema) = self.schema(&plugin.name) {
            each_reference(&schema.fields, &mut plugin.config, act);
        }
    }

    /// Whether the plugin is one of this crate, not a [`CustomPlugin`](crate::CustomPlugin).
    pub fn is_bundled(name: &str) -> bool {
        PLUGINS.iter().any(|entry| entry.name == name)
    }

    /// Whether requests must not pass without the plugin: all but those that only tell others about
    /// them, or get certificates.
    pub fn is_needed(&self, name: &str) -> bool {
        !BESIDE_REQUESTS.contains(&name)
    }

    /// Compiles one configuration of a plugin. What it finds out about callers comes from the
    /// directory of the same snapshot.
    ///
    /// # Errors
    /// When this build does not have the plugin, or cannot run it with these settings.
    pub fn compile(
        &self,
        plugin: &kinds::Plugin,
        directory: &Arc<Directory>,
    ) -> Result<Arc<dyn Plugin>, PluginError> {
        let compiled = match PLUGINS.iter().find(|entry| entry.name == plugin.name) {
            Some(entry) => (entry.compile)(&self.node, plugin, directory),
            None => custom::compile(plugin, directory).unwrap_or(Err(Reason::Unknown)),
        };
        compiled.map_err(|reason| PluginError {
            name: plugin.name.clone(),
            id: plugin.id,
            reason,
        })
    }
}

#[cfg(test)]
mod tests {
    use keelgate_entities::Object;

    use super::*;
    use crate::testing;

    #[test]
    fn every_plugin_is_found_by_its_name() {
        let registry = testing::registry();
        for schema in Registry::schemas() {
            assert_eq!(registry.priority(schema.name), Some(schema.priority));
        }
        assert_eq!(registry.priority("nope"), None);
    }

    #[test]
    fn plugins_run_in_the_known_order() {
        let mut schemas = Registry::schemas();
        schemas.sort_by_key(|schema| -schema.priority);
        let names: Vec<_> = schemas.iter().map(|schema| schema.name).collect();
        assert_eq!(
            names,
            [
                "correlation-id",
                "zipkin",
                "bot-detection",
                "cors",
                "session",
                "acme",
                "jwt",
                "oauth2",
                "key-auth",
                "ldap-auth",
                "basic-auth",
                "hmac-auth",
                "grpc-gateway",
                "ip-restriction",
                "request-size-limiting",
                "acl",
                "rate-limiting",
                "response-ratelimiting",
                "request-transformer",
                "response-transformer",
                "redirect",
                "standard-webhooks",
                "aws-lambda",
                "azure-functions",
                "proxy-cache",
                "opentelemetry",
                "prometheus",
                "http-log",
                "statsd",
                "datadog",
                "file-log",
                "udp-log",
                "tcp-log",
                "loggly",
                "syslog",
                "grpc-web",
                "request-termination",
            ]
        );
    }

    #[test]
    fn an_unknown_plugin_is_named_in_the_error() {
        let plugin = testing::plugin("nope", Object::new());
        let error = testing::registry()
            .compile(&plugin, &Arc::default())
            .err()
            .unwrap();
        let message = error.to_string();
        assert!(
            message.contains("'nope'") && message.contains("no such plugin"),
            "{message}"
        );
    }
}
