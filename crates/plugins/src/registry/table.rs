//! The plugins of this crate.

use std::sync::Arc;

use keelgate_entities::kinds;
use keelgate_entities::schema::PluginSchema;

use super::Node;
use crate::error::Reason;
use crate::{
    Directory, Plugin, acl, acme, aws_lambda, azure_functions, basic_auth, bot_detection,
    correlation_id, cors, datadog, file_log, grpc_gateway, grpc_web, hmac_auth, http_log,
    ip_restriction, jwt, key_auth, ldap_auth, loggly, oauth2, opentelemetry, prometheus,
    proxy_cache, rate_limiting, redirect, request_size_limiting, request_termination,
    request_transformer, response_ratelimiting, response_transformer, session, standard_webhooks,
    statsd, syslog, tcp_log, udp_log, zipkin,
};

/// One plugin of this build.
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) schema: fn() -> PluginSchema,
    pub(super) compile: Compile,
}

type Compile = fn(&Node, &kinds::Plugin, &Arc<Directory>) -> Result<Arc<dyn Plugin>, Reason>;

/// Every plugin of this build.
pub(super) const PLUGINS: &[Entry] = &[
    Entry {
        name: acl::config::NAME,
        schema: acl::config::schema,
        compile: acl::handler::compile,
    },
    Entry {
        name: acme::config::NAME,
        schema: acme::config::schema,
        compile: acme::handler::compile,
    },
    Entry {
        name: aws_lambda::config::NAME,
        schema: aws_lambda::config::schema,
        compile: aws_lambda::handler::compile,
    },
    Entry {
        name: azure_functions::config::NAME,
        schema: azure_functions::config::schema,
        compile: azure_functions::handler::compile,
    },
    Entry {
        name: basic_auth::config::NAME,
        schema: basic_auth::config::schema,
        compile: basic_auth::handler::compile,
    },
    Entry {
        name: bot_detection::config::NAME,
        schema: bot_detection::config::schema,
        compile: bot_detection::handler::compile,
    },
    Entry {
        name: correlation_id::config::NAME,
        schema: correlation_id::config::schema,
        compile: correlation_id::handler::compile,
    },
    Entry {
        name: cors::config::NAME,
        schema: cors::config::schema,
        compile: cors::handler::compile,
    },
    Entry {
        name: datadog::config::NAME,
        schema: datadog::config::schema,
        compile: datadog::handler::compile,
    },
    Entry {
        name: file_log::config::NAME,
        schema: file_log::config::schema,
        compile: file_log::handler::compile,
    },
    Entry {
        name: grpc_gateway::config::NAME,
        schema: grpc_gateway::config::schema,
        compile: grpc_gateway::handler::compile,
    },
    Entry {
        name: grpc_web::config::NAME,
        schema: grpc_web::config::schema,
        compile: grpc_web::handler::compile,
    },
    Entry {
        name: hmac_auth::config::NAME,
        schema: hmac_auth::config::schema,
        compile: hmac_auth::handler::compile,
    },
    Entry {
        name: http_log::config::NAME,
        schema: http_log::config::schema,
        compile: http_log::handler::compile,
    },
    Entry {
        name: ip_restriction::config::NAME,
        schema: ip_restriction::config::schema,
        compile: ip_restriction::handler::compile,
    },
    Entry {
        name: jwt::config::NAME,
        schema: jwt::config::schema,
        compile: jwt::handler::compile,
    },
    Entry {
        name: key_auth::config::NAME,
        schema: key_auth::config::schema,
        compile: key_auth::handler::compile,
    },
    Entry {
        name: ldap_auth::config::NAME,
        schema: ldap_auth::config::schema,
        compile: ldap_auth::handler::compile,
    },
    Entry {
        name: loggly::config::NAME,
        schema: loggly::config::schema,
        compile: loggly::handler::compile,
    },
    Entry {
        name: oauth2::config::NAME,
        schema: oauth2::config::schema,
        compile: oauth2::handler::compile,
    },
    Entry {
        name: opentelemetry::config::NAME,
        schema: opentelemetry::config::schema,
        compile: opentelemetry::handler::compile,
    },
    Entry {
        name: prometheus::config::NAME,
        schema: prometheus::config::schema,
        compile: prometheus::handler::compile,
    },
    Entry {
        name: proxy_cache::config::NAME,
        schema: proxy_cache::config::schema,
        compile: proxy_cache::handler::compile,
    },
    Entry {
        name: rate_limiting::config::NAME,
        schema: rate_limiting::config::schema,
        compile: rate_limiting::handler::compile,
    },
    Entry {
        name: redirect::config::NAME,
        schema: redirect::config::schema,
        compile: redirect::handler::compile,
    },
    Entry {
        name: request_size_limiting::config::NAME,
        schema: request_size_limiting::config::schema,
        compile: request_size_limiting::handler::compile,
    },
    Entry {
        name: request_termination::config::NAME,
        schema: request_termination::config::schema,
        compile: request_termination::handler::compile,
    },
    Entry {
        name: request_transformer::config::NAME,
        schema: request_transformer::config::schema,
        compile: request_transformer::handler::compile,
    },
    Entry {
        name: response_ratelimiting::config::NAME,
        schema: response_ratelimiting::config::schema,
        compile: response_ratelimiting::handler::compile,
    },
    Entry {
        name: response_transformer::config::NAME,
        schema: response_transformer::config::schema,
        compile: response_transformer::handler::compile,
    },
    Entry {
        name: session::config::NAME,
        schema: session::config::schema,
        compile: session::handler::compile,
    },
    Entry {
        name: standard_webhooks::config::NAME,
        schema: standard_webhooks::config::schema,
        compile: standard_webhooks::handler::compile,
    },
    Entry {
        name: statsd::config::NAME,
        schema: statsd::config::schema,
        compile: statsd::handler::compile,
    },
    Entry {
        name: syslog::config::NAME,
        schema: syslog::config::schema,
        compile: syslog::handler::compile,
    },
    Entry {
        name: tcp_log::config::NAME,
        schema: tcp_log::config::schema,
        compile: tcp_log::handler::compile,
    },
    Entry {
        name: udp_log::config::NAME,
        schema: udp_log::config::schema,
        compile: udp_log::handler::compile,
    },
    Entry {
        name: zipkin::config::NAME,
        schema: zipkin::config::schema,
        compile: zipkin::handler::compile,
    },
];

/// Descriptions that differ where the node that serves has a database.
pub(super) const WITH_DATABASE: &[fn() -> PluginSchema] = &[
    acme::config::schema_with_database,
    rate_limiting::config::schema_with_database,
    response_ratelimiting::config::schema_with_database,
    session::config::schema_with_database,
];

/// Plugins that requests can do without: they only tell others about them, or get certificates.
pub(super) const BESIDE_REQUESTS: [&str; 12] = [
    acme::config::NAME,
    datadog::config::NAME,
    file_log::config::NAME,
    http_log::config::NAME,
    loggly::config::NAME,
    opentelemetry::config::NAME,
    prometheus::config::NAME,
    statsd::config::NAME,
    syslog::config::NAME,
    tcp_log::config::NAME,
    udp_log::config::NAME,
    zipkin::config::NAME,
];
