//! Routes: the rules that lead requests to services.

mod attributes;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Protocol, null, text};
use crate::expression;
use crate::format::path;
use crate::schema::definition::{Variant, Variants};
use crate::schema::{CheckRule, Field, ITEM, Schema, typedefs};
use crate::{Object, Reference, RouterFlavor};
use serde_json::Value;

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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Protocols that the route accepts.
    pub protocols: Vec<Protocol>,
    /// Accepted methods; none means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub methods: Option<Vec<String>>,
    /// Accepted hosts, `*` at one end allowed, with an optional port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<Vec<String>>,
    /// Accepted paths: prefixes, or regular expressions after `~`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paths: Option<Vec<String>>,
    /// Accepted header values by lower-case header name; one value that starts with `~*` is a
    /// regular expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<BTreeMap<String, Vec<String>>>,
    /// Accepted TLS server names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snis: Option<Vec<String>>,
    /// Accepted client addresses (stream routes).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<Vec<Endpoint>>,
    /// Accepted destination addresses (stream routes).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destinations: Option<Vec<Endpoint>>,
    /// Rule in the expressions language (`router_flavor = expressions`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
    /// Rank among expression routes; greater is asked earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u64>,
    /// Rank among routes whose regular expressions match; greater wins.
    #[serde(default, deserialize_with = "null::or_default")]
    pub regex_priority: i64,
    /// Whether the matched prefix is removed from the path sent upstream.
    #[serde(default = "yes")]
    pub strip_path: bool,
    /// How paths are joined.
    #[serde(default, deserialize_with = "null::or_default")]
    pub path_handling: PathHandling,
    /// Whether the upstream receives the client's `Host`.
    #[serde(default)]
    pub preserve_host: bool,
    /// Whether the request body is read whole before it is sent on.
    #[serde(default = "yes")]
    pub request_buffering: bool,
    /// Whether the response body is read ahead of a slow client.
    #[serde(default = "yes")]
    pub response_buffering: bool,
    /// Status answered when everything but the protocol matches.
    #[serde(default = "upgrade_required")]
    pub https_redirect_status_code: u16,
    /// Where requests go; none is only useful with a plugin that answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Reference>,
    /// Labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// Seconds since the epoch; in the `traditional` router flavour the oldest of equal routes wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<i64>,
    /// Seconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<i64>,
}

/// An address range and/or port of a stream route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Address or CIDR block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// Port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

fn yes() -> bool {
    true
}

fn upgrade_required() -> u16 {
    426
}

/// The schema of `routes`. What an expression may say is part of it only where the flavor has
/// expressions.
pub(crate) fn schema(flavor: RouterFlavor) -> Schema {
    let expressions = flavor == RouterFlavor::Expressions;
    Schema::new("routes", fields(expressions))
        .endpoint_key("name")
        .unique_key("name", &["name"])
        .check(
            CheckRule::conditional(
                "protocols",
                |f| f.elements(|e| e.not_one_of(["grpcs", "https", "tls", "tls_passthrough"])),
                "snis",
                |f| f.len_eq(0),
            )
            .err(
                "'snis' can only be set when 'protocols' is 'grpcs', 'https', 'tls' or \
                 'tls_passthrough'",
            ),
        )
        .check(if expressions {
            CheckRule::custom_always(MATCHING, rule)
        } else {
            CheckRule::custom_always(&["paths", "headers"], attributes::check)
        })
        .variants(Variants::Words {
            key: "protocols",
            list: vec![http(expressions), stream(expressions), grpc(expressions)],
        })
}

fn fields(expressions: bool) -> Vec<Field> {
    let mut fields = attributes();
    if expressions {
        fields.push(Field::string("expression").description(
            "Rule in the language of expressions, in place of hosts, paths and the like.",
        ));
        fields.push(
            Field::integer("priority")
                .required()
                .between(0.0, GREATEST_PRIORITY)
                .default(0)
                .description("Rank of an `expression`: the greatest is asked first."),
        );
    }
    fields
}

fn attributes() -> Vec<Field> {
    let switch = |name, default: bool| Field::boolean(name).required().default(default);
    vec![
        typedefs::id(),
        typedefs::seconds("created_at"),
        typedefs::seconds("updated_at"),
        typedefs::name("name"),
        Field::set("protocols", typedefs::protocol(ITEM))
            .required()
            .len_min(1)
            .mutually_exclusive_subsets(&[
                &["http", "https"],
                &["tcp", "tls", "udp"],
                &["tls_passthrough"],
                &["grpc", "grpcs"],
            ])
            .default(vec!["http", "https"])
            .description(
                "By which protocols clients may come. HTTP, gRPC and stream protocols cannot be \
                 mixed.",
            ),
        Field::integer("https_redirect_status_code")
            .required()
            .one_of([426, 301, 302, 307, 308])
            .default(426)
            .description(
                "Answer to a request in clear that fits in all but its protocol, where only TLS is \
                 allowed: 426, or a redirect to `https`.",
            ),
        switch("strip_path", true)
            .description("Cut the part that `paths` matched off before the request goes on."),
        switch("preserve_host", false)
            .description("Pass the client's `Host` on instead of the one of the service."),
        switch("request_buffering", true).description(
            "Read the whole request body before the service is contacted; false streams it.",
        ),
        switch("response_buffering", true).description(
            "Read the response ahead of a client that is slow to take it; false leaves the service \
                 waiting.",
        ),
        typedefs::tags(),
        Field::foreign("service", "services")
            .description("Where matching requests go; null leaves the answer to plugins."),
        Field::set("snis", typedefs::wildcard_host(ITEM)).description(
            "TLS server names, any of which the client must have asked for. One `*` is \
             allowed, at either end.",
        ),
        typedefs::endpoints("sources"),
        typedefs::endpoints("destinations"),
        methods(),
        hosts(),
        paths(),
        headers(),
        Field::integer("regex_priority").default(0).description(
            "Rank among routes whose path patterns fit the same request; the greatest wins.",
        ),
        Field::string("path_handling")
            .default("v0")
            .one_of(["v0", "v1"])
            .description(
                "Rule for joining the path of the service with what is left of the requested one: \
                 `v0` or `v1`.",
            ),
    ]
}

fn methods() -> Field {
    Field::set("methods", typedefs::http_method(ITEM))
        .description("Request methods, any of which fits, in upper case.")
}

fn hosts() -> Field {
    Field::array("hosts", typedefs::host_pattern(ITEM)).description(
        "Values of the `Host` header, any of which fits; one `*` is allowed, at either end, and a \
         port may follow.",
    )
}

fn paths() -> Field {
    let element = Field::string(ITEM)
        .match_any(
            &["^/", "^~/"],
            "should start with: / (fixed path) or ~/ (regex path)",
        )
        .match_none("//", "must not have empty segments")
        .custom(path::route_path);
    Field::array("paths", element).description(
        "Beginnings of the request path, any of which fits; after `~` stands a regular \
         expression.",
    )
}

fn headers() -> Field {
    let names = typedefs::header_name(ITEM).match_none(
        "^[Hh][Oo][Ss][Tt]$",
        "cannot contain 'host' header, which must be specified in the 'hosts' attribute",
    );
    Field::map("headers", names, Field::array(ITEM, Field::string(ITEM))).description(
        "Headers that all must be there, each with one of the values listed for it; a single \
             value after `~*` is a regular expression.",
    )
}

/// The fields that say which requests a route is for, and what they depend on.
const MATCHING: &[&str] = &[
    "protocols",
    "snis",
    "sources",
    "destinations",
    "methods",
    "hosts",
    "paths",
    "headers",
    "expression",
    "regex_priority",
    "priority",
];

/// The fields that an expression stands in place of.
const ATTRIBUTES: &[&str] = &[
    "snis",
    "sources",
    "destinations",
    "methods",
    "hosts",
    "paths",
    "headers",
];

/// 2^46 - 1: a priority shares a 64-bit number with other ranks.
const GREATEST_PRIORITY: f64 = 70_368_744_177_663.0;

/// A route has either an expression or attributes, each with its own kind of rank, and what it has
/// can be compiled.
fn rule(entity: &Object) -> Result<(), String> {
    let refuse = |what: &str| Err(format!("Router Expression failed validation: {what}"));
    let ranked = |field| {
        entity
            .get(field)
            .is_some_and(|rank| !rank.is_null() && rank != 0)
    };
    let with_attributes = ATTRIBUTES.iter().any(|field| match entity.get(*field) {
        Some(Value::Array(list)) => !list.is_empty(),
        Some(Value::Object(map)) => !map.is_empty(),
        _ => false,
    });
    let Some(expression) = text(entity, "expression") else {
        if with_attributes && ranked("priority") {
            return refuse(
                "cannot set 'priority' with 'methods', 'hosts', 'paths', 'headers', 'snis', \
                 'sources' or 'destinations' simultaneously",
            );
        }
        return attributes::check(entity);
    };
    if with_attributes {
        return refuse(
            "cannot set 'expression' with 'methods', 'hosts', 'paths', 'headers', 'snis', \
             'sources' or 'destinations' simultaneously",
        );
    }
    if ranked("regex_priority") {
        return refuse("cannot set 'regex_priority' with 'expression' simultaneously");
    }
    match expression::parse(expression, attributes::subsystem(entity)) {
        Ok(_) => Ok(()),
        Err(error) => refuse(&error.to_string()),
    }
}

/// Refuses `sources` and `destinations`, which only the expressions flavor matches outside of
/// streams.
fn without_addresses(
    expressions: bool,
    sources: &'static str,
    destinations: &'static str,
) -> Vec<Field> {
    if expressions {
        return Vec::new();
    }
    [("sources", sources), ("destinations", destinations)]
        .into_iter()
        .map(|(field, err)| typedefs::endpoints(field).eq(Value::Null).err(err))
        .collect()
}

/// The fields without `expression`, which stands last, where the flavor has none.
fn choice(expressions: bool, fields: &'static [&'static str]) -> &'static [&'static str] {
    match fields {
        [without @ .., "expression"] if !expressions => without,
        fields => fields,
    }
}

fn http(expressions: bool) -> Variant {
    Variant {
        words: &["http", "https"],
        fields: without_addresses(
            expressions,
            "cannot set 'sources' when 'protocols' is 'http' or 'https'",
            "cannot set 'destinations' when 'protocols' is 'http' or 'https'",
        ),
        checks: vec![
            CheckRule::conditional_at_least_one_of(
                "protocols",
                |f| f.contains("https"),
                choice(
                    expressions,
                    &["methods", "hosts", "headers", "paths", "snis", "expression"],
                ),
                "must set one of %s when 'protocols' is 'https'",
            )
            .or_else(
                |f| f.contains("http"),
                choice(
                    expressions,
                    &["methods", "hosts", "headers", "paths", "expression"],
                ),
                "must set one of %s when 'protocols' is 'http'",
            )
            .resolve(&fields(expressions)),
        ],
    }
}

fn stream(expressions: bool) -> Variant {
    let refused = |field: Field, err| field.eq(Value::Null).err(err);
    Variant {
        words: &["tcp", "tls", "udp", "tls_passthrough"],
        fields: vec![
            refused(
                methods(),
                "cannot set 'methods' when 'protocols' is 'tcp', 'tls', 'tls_passthrough' or 'udp'",
            ),
            refused(
                hosts(),
                "cannot set 'hosts' when 'protocols' is 'tcp', 'tls', 'tls_passthrough' or 'udp'",
            ),
            refused(
                paths(),
                "cannot set 'paths' when 'protocols' is 'tcp', 'tls', 'tls_passthrough' or 'udp'",
            ),
            refused(
                headers(),
                "cannot set 'headers' when 'protocols' is 'tcp', 'tls', 'tls_passthrough' or 'udp'",
            ),
        ],
        checks: vec![
            CheckRule::conditional_at_least_one_of(
                "protocols",
                |f| f.elements(|e| e.one_of(["tcp", "tls", "udp"])),
                choice(
                    expressions,
                    &["sources", "destinations", "snis", "expression"],
                ),
                "must set one of %s when 'protocols' is 'tcp', 'tls' or 'udp'",
            )
            .resolve(&fields(expressions)),
            CheckRule::conditional_at_least_one_of(
                "protocols",
                |f| f.elements(|e| e.one_of(["tls_passthrough"])),
                choice(expressions, &["snis", "expression"]),
                "must set snis when 'protocols' is 'tls_passthrough'",
            )
            .resolve(&fields(expressions)),
        ],
    }
}

fn grpc(expressions: bool) -> Variant {
    let refused = |field: Field, err| field.eq(Value::Null).err(err);
    let mut fields_of_grpc = vec![
        Field::boolean("strip_path")
            .required()
            .default(false)
            .ne(true)
            .err("cannot set 'strip_path' when 'protocols' is 'grpc' or 'grpcs'"),
        refused(
            methods(),
            "cannot set 'methods' when 'protocols' is 'grpc' or 'grpcs'",
        ),
    ];
    fields_of_grpc.extend(without_addresses(
        expressions,
        "cannot set 'sources' when 'protocols' is 'grpc' or 'grpcs'",
        "cannot set 'destinations' when 'protocols' is 'grpc' or 'grpcs'",
    ));
    Variant {
        words: &["grpc", "grpcs"],
        fields: fields_of_grpc,
        checks: vec![
            CheckRule::conditional_at_least_one_of(
                "protocols",
                |f| f.contains("grpcs"),
                choice(
                    expressions,
                    &["hosts", "headers", "paths", "snis", "expression"],
                ),
                "must set one of %s when 'protocols' is 'grpcs'",
            )
            .or_else(
                |f| f.contains("grpc"),
                choice(expressions, &["hosts", "headers", "paths", "expression"]),
                "must set one of %s when 'protocols' is 'grpc'",
            )
            .resolve(&fields(expressions)),
        ],
    }
}
