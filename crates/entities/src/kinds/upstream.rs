//! Upstreams: virtual host names that balance over targets.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::null;
use crate::Object;
use crate::Reference;
use crate::format::host;
use crate::schema::{CheckRule, Field, ITEM, Schema, Shorthand, typedefs};
use serde_json::{Value, json};

/// How a target is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// Weighted turns.
    #[default]
    RoundRobin,
    /// By a hash of a request attribute.
    ConsistentHashing,
    /// The fewest open requests per weight.
    LeastConnections,
    /// The lowest moving average of latencies.
    Latency,
}

/// The request attribute that is hashed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HashOn {
    /// Nothing.
    #[default]
    None,
    /// The consumer or credential.
    Consumer,
    /// The client address.
    Ip,
    /// A header.
    Header,
    /// A cookie, made when absent.
    Cookie,
    /// The request path.
    Path,
    /// A query argument.
    QueryArg,
    /// A capture of the route's path.
    UriCapture,
}

/// A virtual host name that balances over targets.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Upstream {
    /// Identity.
    pub id: Uuid,
    /// The host name that services use.
    pub name: String,
    /// How a target is chosen.
    #[serde(default, deserialize_with = "null::or_default")]
    pub algorithm: Algorithm,
    /// What is hashed.
    #[serde(default, deserialize_with = "null::or_default")]
    pub hash_on: HashOn,
    /// What is hashed when the first is absent.
    #[serde(default, deserialize_with = "null::or_default")]
    pub hash_fallback: HashOn,
    /// Header for [`HashOn::Header`].
    #[serde(default)]
    pub hash_on_header: Option<String>,
    /// Header for the fallback.
    #[serde(default)]
    pub hash_fallback_header: Option<String>,
    /// Cookie for [`HashOn::Cookie`].
    #[serde(default)]
    pub hash_on_cookie: Option<String>,
    /// Path of the cookie.
    #[serde(default)]
    pub hash_on_cookie_path: Option<String>,
    /// Argument for [`HashOn::QueryArg`].
    #[serde(default)]
    pub hash_on_query_arg: Option<String>,
    /// Argument for the fallback.
    #[serde(default)]
    pub hash_fallback_query_arg: Option<String>,
    /// Capture for [`HashOn::UriCapture`].
    #[serde(default)]
    pub hash_on_uri_capture: Option<String>,
    /// Capture for the fallback.
    #[serde(default)]
    pub hash_fallback_uri_capture: Option<String>,
    /// Slots of the hash ring, 10 to 65536.
    #[serde(
        default = "ten_thousand",
        deserialize_with = "null::or_number::<_, _, 10_000>"
    )]
    pub slots: u32,
    /// `Host` sent upstream instead of the target's.
    #[serde(default)]
    pub host_header: Option<String>,
    /// Certificate presented to targets.
    #[serde(default)]
    pub client_certificate: Option<Reference>,
    /// Whether SRV names are used.
    #[serde(default, deserialize_with = "null::or_default")]
    pub use_srv_name: bool,
    /// Active and passive checks.
    #[serde(default)]
    pub healthchecks: HealthChecks,
    /// Labels.
    #[serde(default)]
    pub tags: Option<Vec<String>>,
}

/// Active and passive health checks of an upstream.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthChecks {
    /// Least percentage of available weight below which the whole upstream is unhealthy.
    #[serde(deserialize_with = "null::or_default")]
    pub threshold: f64,
    /// Probes.
    pub active: ActiveChecks,
    /// Conclusions from proxied traffic.
    pub passive: PassiveChecks,
}

/// Probes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ActiveChecks {
    /// `http`, `https`, `tcp`, `grpc` or `grpcs`.
    pub r#type: Option<String>,
    /// Seconds per probe.
    #[serde(deserialize_with = "null::or_default")]
    pub timeout: f64,
    /// Probes at once.
    #[serde(deserialize_with = "null::or_default")]
    pub concurrency: u32,
    /// Path of HTTP probes.
    pub http_path: Option<String>,
    /// SNI of HTTPS probes.
    pub https_sni: Option<String>,
    /// Whether HTTPS probes verify the certificate.
    pub https_verify_certificate: Option<bool>,
    /// Headers of HTTP probes.
    pub headers: Option<BTreeMap<String, Vec<String>>>,
    /// When a target counts as healthy.
    pub healthy: Thresholds,
    /// When a target counts as unhealthy.
    pub unhealthy: Thresholds,
}

/// Conclusions from proxied traffic.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PassiveChecks {
    /// `http`, `https`, `tcp`, `grpc` or `grpcs`.
    pub r#type: Option<String>,
    /// When a target counts as healthy.
    pub healthy: Thresholds,
    /// When a target counts as unhealthy.
    pub unhealthy: Thresholds,
}

/// Counts that change a target's health; 0 switches one off.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Thresholds {
    /// Seconds between probes (active checks).
    #[serde(deserialize_with = "null::or_default")]
    pub interval: f64,
    /// Statuses that count.
    #[serde(deserialize_with = "null::or_default")]
    pub http_statuses: Vec<u16>,
    /// Successes in a row.
    #[serde(deserialize_with = "null::or_default")]
    pub successes: u32,
    /// TCP failures in a row.
    #[serde(deserialize_with = "null::or_default")]
    pub tcp_failures: u32,
    /// Time-outs in a row.
    #[serde(deserialize_with = "null::or_default")]
    pub timeouts: u32,
    /// HTTP failures in a row.
    #[serde(deserialize_with = "null::or_default")]
    pub http_failures: u32,
}

fn ten_thousand() -> u32 {
    10_000
}

/// The schema of `upstreams`.
pub(crate) fn schema() -> Schema {
    let needs = |hashes, condition: fn(Field) -> Field, field| {
        CheckRule::conditional(hashes, condition, field, Field::required)
    };
    let fallback = |condition: fn(Field) -> Field, options: fn(Field) -> Field| {
        CheckRule::conditional("hash_on", condition, "hash_fallback", options)
    };
    Schema::new("upstreams", fields())
        .endpoint_key("name")
        .unique_key("name", &["name"])
        .check(needs(
            "hash_on",
            |f| f.matches("^header$"),
            "hash_on_header",
        ))
        .check(needs(
            "hash_fallback",
            |f| f.matches("^header$"),
            "hash_fallback_header",
        ))
        .check(needs(
            "hash_on",
            |f| f.matches("^cookie$"),
            "hash_on_cookie",
        ))
        .check(needs(
            "hash_fallback",
            |f| f.matches("^cookie$"),
            "hash_on_cookie",
        ))
        .check(fallback(|f| f.matches("^none$"), |f| f.one_of(["none"])))
        .check(fallback(|f| f.matches("^cookie$"), |f| f.one_of(["none"])))
        .check(fallback(
            |f| f.matches("^consumer$"),
            |f| {
                f.one_of([
                    "none",
                    "ip",
                    "header",
                    "cookie",
                    "path",
                    "query_arg",
                    "uri_capture",
                ])
            },
        ))
        .check(fallback(
            |f| f.matches("^ip$"),
            |f| {
                let options = [
                    "none",
                    "consumer",
                    "header",
                    "cookie",
                    "path",
                    "query_arg",
                    "uri_capture",
                ];
                f.one_of(options)
            },
        ))
        .check(fallback(
            |f| f.matches("^path$"),
            |f| {
                let options = [
                    "none",
                    "consumer",
                    "header",
                    "cookie",
                    "query_arg",
                    "ip",
                    "uri_capture",
                ];
                f.one_of(options)
            },
        ))
        .check(CheckRule::distinct(&[
            "hash_on_header",
            "hash_fallback_header",
        ]))
        .check(needs(
            "hash_on",
            |f| f.matches("^query_arg$"),
            "hash_on_query_arg",
        ))
        .check(needs(
            "hash_fallback",
            |f| f.matches("^query_arg$"),
            "hash_fallback_query_arg",
        ))
        .check(CheckRule::distinct(&[
            "hash_on_query_arg",
            "hash_fallback_query_arg",
        ]))
        .check(needs(
            "hash_on",
            |f| f.matches("^uri_capture$"),
            "hash_on_uri_capture",
        ))
        .check(needs(
            "hash_fallback",
            |f| f.matches("^uri_capture$"),
            "hash_fallback_uri_capture",
        ))
        .check(CheckRule::distinct(&[
            "hash_on_uri_capture",
            "hash_fallback_uri_capture",
        ]))
        .shorthand(Shorthand::new(Field::string("algorithm"), algorithm))
        .shorthand(Shorthand::new(Field::string("hash_on"), hash_on))
}

fn fields() -> Vec<Field> {
    let attribute = |name| {
        Field::string(name).default("none").one_of([
            "none",
            "consumer",
            "ip",
            "header",
            "cookie",
            "path",
            "query_arg",
            "uri_capture",
        ])
    };
    let word = |name| Field::string(name).len_min(1);
    vec![
        typedefs::id(),
        typedefs::seconds("created_at"),
        Field::string("name")
            .required()
            .custom(host::upstream_name)
            .description(
                "Unique; services whose `host` is this name are balanced over the targets.",
            ),
        typedefs::seconds("updated_at"),
        Field::string("algorithm")
            .default("round-robin")
            .one_of([
                "consistent-hashing",
                "least-connections",
                "round-robin",
                "latency",
            ])
            .description("How a target is picked for each request."),
        attribute("hash_on"),
        attribute("hash_fallback"),
        typedefs::header_name("hash_on_header"),
        typedefs::header_name("hash_fallback_header"),
        typedefs::cookie_name("hash_on_cookie")
            .description("Cookie whose value is hashed; one is set for clients that come without."),
        typedefs::path("hash_on_cookie_path").default("/"),
        word("hash_on_query_arg"),
        word("hash_fallback_query_arg"),
        word("hash_on_uri_capture"),
        word("hash_fallback_uri_capture"),
        Field::integer("slots")
            .default(10_000)
            .between(10.0, 65_536.0)
            .description("Size of the hash ring; some hundred per target spread the load evenly."),
        health_checks(),
        typedefs::tags(),
        typedefs::host_with_optional_port("host_header"),
        Field::foreign("client_certificate", "certificates").description(
            "Presented to targets that ask for a certificate, by probes and by requests of services that \
             have none of their own.",
        ),
        Field::boolean("use_srv_name")
            .default(false)
            .description("Send the name from the SRV record as `Host` to targets found by one."),
    ]
}

fn health_checks() -> Field {
    let kind = || {
        Field::string("type")
            .one_of(["tcp", "http", "https", "grpc", "grpcs"])
            .default("http")
    };
    let statuses = |default: &[u16]| {
        Field::array("http_statuses", Field::integer(ITEM).between(100.0, 999.0))
            .default(default.to_vec())
    };
    let count = |name| Field::integer(name).between(0.0, 255.0).default(0);
    let seconds = |name, default: u32| Field::number(name).between(0.0, 65_535.0).default(default);
    let failures = || {
        [
            count("tcp_failures"),
            count("timeouts"),
            count("http_failures"),
        ]
    };

    let active_healthy = [
        seconds("interval", 0),
        statuses(&[200, 302]),
        count("successes"),
    ];
    let mut active_unhealthy = vec![
        seconds("interval", 0),
        statuses(&[429, 404, 500, 501, 502, 503, 504, 505]),
    ];
    active_unhealthy.extend(failures());
    let active = [
        kind(),
        seconds("timeout", 1),
        Field::integer("concurrency")
            .between(1.0, 2_147_483_648.0)
            .default(10),
        typedefs::path("http_path").default("/"),
        typedefs::sni("https_sni"),
        Field::boolean("https_verify_certificate")
            .required()
            .default(true),
        typedefs::headers("headers"),
        Field::record("healthy", active_healthy),
        Field::record("unhealthy", active_unhealthy),
    ];

    let passive_healthy = [
        statuses(&[
            200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305, 306,
            307, 308,
        ]),
        count("successes"),
    ];
    let mut passive_unhealthy = vec![statuses(&[429, 500, 503])];
    passive_unhealthy.extend(failures());
    let passive = [
        kind(),
        Field::record("healthy", passive_healthy),
        Field::record("unhealthy", passive_unhealthy),
    ];

    Field::record(
        "healthchecks",
        [
            Field::record("active", active),
            Field::record("passive", passive),
            Field::number("threshold").default(0).between(0.0, 100.0),
        ],
    )
    .description(
        "When targets are taken out and let in again: by probes (`active`) and by watching traffic \
         (`passive`).",
    )
}

/// Algorithms that hash nothing drop the attribute.
fn algorithm(value: &Value) -> Object {
    let mut fields = Object::new();
    fields.insert("algorithm".to_owned(), value.clone());
    if matches!(value.as_str(), Some("least-connections" | "latency")) {
        fields.insert("hash_on".to_owned(), Value::Null);
    }
    fields
}

/// An attribute that is hashed decides the algorithm.
fn hash_on(value: &Value) -> Object {
    let fields = match value.as_str() {
        None => json!({ "hash_on": "none" }),
        Some("none") => json!({ "hash_on": "none", "algorithm": "round-robin" }),
        Some(other) => json!({ "hash_on": other, "algorithm": "consistent-hashing" }),
    };
    fields.as_object().cloned().unwrap_or_default()
}
