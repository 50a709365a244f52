//! Routes: the rules that lead requests to services.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Protocol;
use crate::Reference;

/// How service path, route path and request path are joined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathHandling {
    /// Joined with single slashes.
    #[default]
    V0,
    /// Joined as they are (the `traditional` router flavour only).
    V1,
}

/// A rule that leads requests to a service.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Route {
    /// Identity; also breaks ties between equal routes (the greatest wins).
    pub id: Uuid,
    /// Unique name, if any.
    #[serde(default)]
    pub name: Option<String>,
    /// Protocols that the route accepts.
    pub protocols: Vec<Protocol>,
    /// Accepted methods; none means all.
    #[serde(default)]
    pub methods: Option<Vec<String>>,
    /// Accepted hosts, `*` at one end allowed, with an optional port.
    #[serde(default)]
    pub hosts: Option<Vec<String>>,
    /// Accepted paths: prefixes, or regular expressions after `~`.
    #[serde(default)]
    pub paths: Option<Vec<String>>,
    /// Accepted header values by lower-case header name; one value that starts with `~*` is a
    /// regular expression.
    #[serde(default)]
    pub headers: Option<BTreeMap<String, Vec<String>>>,
    /// Accepted TLS server names.
    #[serde(default)]
    pub snis: Option<Vec<String>>,
    /// Accepted client addresses (stream routes).
    #[serde(default)]
    pub sources: Option<Vec<Endpoint>>,
    /// Accepted destination addresses (stream routes).
    #[serde(default)]
    pub destinations: Option<Vec<Endpoint>>,
    /// Rule in the expressions language (`router_flavor = expressions`).
    #[serde(default)]
    pub expression: Option<String>,
    /// Rank among expression routes; greater is asked earlier.
    #[serde(default)]
    pub priority: Option<u64>,
    /// Rank among routes whose regular expressions match; greater wins.
    #[serde(default)]
    pub regex_priority: i64,
    /// Whether the matched prefix is removed from the path sent upstream.
    #[serde(default = "yes")]
    pub strip_path: bool,
    /// How paths are joined.
    #[serde(default)]
    pub path_handling: PathHandling,
    /// Whether the upstream receives the client's `Host`.
    #[serde(default)]
    pub preserve_host: bool,
    /// Whether the request body is read whole before it is sent on.
    #[serde(default = "yes")]
    pub request_buffering: bool,
    /// Whether the response body is buffered.
    #[serde(default = "yes")]
    pub response_buffering: bool,
    /// Status answered when everything but the protocol matches.
    #[serde(default = "upgrade_required")]
    pub https_redirect_status_code: u16,
    /// Where requests go; none is only useful with a plugin that answers.
    #[serde(default)]
    pub service: Option<Reference>,
    /// Labels.
    #[serde(default)]
    pub tags: Option<Vec<String>>,
}

/// An address range and/or port of a stream route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Address or CIDR block.
    #[serde(default)]
    pub ip: Option<String>,
    /// Port.
    #[serde(default)]
    pub port: Option<u16>,
}

fn yes() -> bool {
    true
}

fn upgrade_required() -> u16 {
    426
}
