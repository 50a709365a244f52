//! The plugin interface and one module per plugin.
//!
//! A plugin is compiled once per configuration ([`Plugin`]) and then walks with many requests at
//! once. Phases run in Kong's order: `certificate`, `rewrite`, `access`, `header_filter`,
//! `body_filter`, `log`; within a phase, plugins with a higher priority run first.
//!
//! # Adding a plugin
//!
//! 1. Make a directory with its name (`my-plugin` lives in `my_plugin/`) and these files:
//!    - `config.rs`: `NAME`; `schema()`, the description of the settings with their defaults and
//!      the plugin's priority; `Config`, the settings in typed form. `Config` reads what a schema
//!      has completed as well as what leaves defaults out, and `null` as unset.
//!    - `handler.rs`: `compile()`, which turns settings into a value that implements [`Plugin`].
//!      Everything that does not depend on the request happens here: header names and values,
//!      regular expressions, templates. A setting that cannot be used is an error here, never a
//!      surprise later.
//!    - `tests.rs`: drives the compiled plugin over hand-built exchanges.
//! 2. Add it to the table in `registry/table.rs`.
//!
//! A plugin takes part only in the phases that it names in [`Plugin::phases`]; it asks for the
//! request body there, too. What it tells later plugins stands in the [`Exchange`]; what it keeps
//! for its own later phases goes into [`Exchange::kept`]. What outlives a configuration belongs to
//! the node (`registry::Node`), without locks and with bounded memory. Time and addresses are read
//! from the exchange, never from the machine.
//!
//! What a plugin must find again on other nodes, or after a restart, is a record or a counter in the
//! node's database ([`records`]): tokens, sessions, shared counts. It is no part of the configuration,
//! and not every node has a database: a plugin that needs one says so when it is compiled, or refuses
//! requests.
//!
//! A plugin of another crate is a [`CustomPlugin`].
//!
//! A plugin that has a part in TCP, TLS and UDP sessions says so in [`Plugin::stream`].

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod arguments;
mod authentication;
mod base64;
mod body;
mod cookies;
pub mod custom;
pub mod directory;
pub mod error;
pub mod exchange;
mod function;
mod grpc;
pub mod headers;
mod logging;
mod multipart;
pub mod names;
mod peer_tls;
pub mod plugin;
pub mod records;
mod redis;
pub mod registry;
pub mod response;
mod setting;
mod shown;
pub mod stream;
mod traces;
mod written;

mod acl;
mod acme;
mod aws_lambda;
mod azure_functions;
mod basic_auth;
mod bot_detection;
mod correlation_id;
mod cors;
mod datadog;
mod file_log;
mod grpc_gateway;
mod grpc_web;
mod hmac_auth;
mod http_log;
mod ip_restriction;
mod jwt;
mod key_auth;
mod ldap_auth;
mod loggly;
mod oauth2;
mod opentelemetry;
mod prometheus;
mod proxy_cache;
mod rate_limiting;
mod redirect;
mod request_size_limiting;
mod request_termination;
mod request_transformer;
mod response_ratelimiting;
mod response_transformer;
mod session;
mod standard_webhooks;
mod statsd;
mod syslog;
mod tcp_log;
mod udp_log;
mod zipkin;

#[cfg(test)]
mod testing;

pub use acme::Certificates;
pub use custom::CustomPlugin;
pub use directory::Directory;
pub use error::PluginError;
pub use exchange::Exchange;
pub use headers::HeaderMap;
pub use plugin::{Access, Flow, Phases, Plugin};
pub use proxy_cache::KeptResponses;
pub use records::Records;
pub use registry::Registry;
pub use response::Response;
pub use stream::StreamPlugin;
pub use written::{Places, Written};
