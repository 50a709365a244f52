//! Services: the upstream applications that routes lead to.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Protocol, null};
use crate::Object;
use crate::Reference;
use crate::format::url;
use crate::schema::{CheckRule, Field, ITEM, Schema, Shorthand, typedefs};
use serde_json::Value;

/// An upstream application.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Service {
    /// Identity.
    pub id: Uuid,
    /// Unique name, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether the service answers; routes of a disabled service do not match.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// How to speak to the upstream.
    pub protocol: Protocol,
    /// Host name, address, or the name of an upstream entity.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Prefix of the path sent upstream, with a leading slash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// How many further attempts follow a failed one.
    #[serde(default = "five", deserialize_with = "null::or_number::<_, _, 5>")]
    pub retries: u32,
    /// Milliseconds to establish a connection.
    #[serde(
        default = "minute",
        deserialize_with = "null::or_number::<_, _, 60_000>"
    )]
    pub connect_timeout: u64,
    /// Milliseconds between two successful writes.
    #[serde(
        default = "minute",
        deserialize_with = "null::or_number::<_, _, 60_000>"
    )]
    pub write_timeout: u64,
    /// Milliseconds between two successful reads.
    #[serde(
        default = "minute",
        deserialize_with = "null::or_number::<_, _, 60_000>"
    )]
    pub read_timeout: u64,
    /// Certificate presented to the upstream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<Reference>,
    /// Whether the upstream's certificate is verified; unset means the node's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_verify: Option<bool>,
    /// Longest accepted chain of the upstream's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_verify_depth: Option<u8>,
    /// Ids of the authorities that the upstream's certificate is verified against.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_certificates: Option<Vec<Uuid>>,
    /// Labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// Seconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<i64>,
    /// Seconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<i64>,
}

fn yes() -> bool {
    true
}

fn five() -> u32 {
    5
}

fn minute() -> u64 {
    60_000
}

/// The schema of `services`.
pub(crate) fn schema() -> Schema {
    let only_tls = |field| {
        CheckRule::conditional(
            "protocol",
            |f| f.not_one_of(["https", "tls"]),
            field,
            |f| f.eq(Value::Null),
        )
    };
    Schema::new("services", fields())
        .endpoint_key("name")
        .unique_key("name", &["name"])
        .check(CheckRule::conditional(
            "protocol",
            |f| f.one_of(["tcp", "tls", "udp", "grpc", "grpcs"]),
            "path",
            |f| f.eq(Value::Null),
        ))
        .check(only_tls("client_certificate"))
        .check(only_tls("tls_verify"))
        .check(only_tls("tls_verify_depth"))
        .check(only_tls("ca_certificates"))
        .shorthand(Shorthand::new(Field::string("url"), from_url))
}

fn fields() -> Vec<Field> {
    let timeout = |name| typedefs::nonzero_timeout(name).default(60_000);
    vec![
        typedefs::id(),
        typedefs::seconds("created_at"),
        typedefs::seconds("updated_at"),
        typedefs::name("name"),
        Field::integer("retries")
            .default(5)
            .between(0.0, 32_767.0)
            .description("How many further attempts follow a failed one."),
        typedefs::protocol("protocol").required().default("http"),
        typedefs::host("host").required(),
        typedefs::port("port").required().default(80),
        typedefs::path("path"),
        timeout("connect_timeout"),
        timeout("write_timeout"),
        timeout("read_timeout"),
        typedefs::tags(),
        Field::foreign("client_certificate", "certificates")
            .description("Presented when the backend asks for a certificate."),
        Field::boolean("tls_verify").description(
            "Check the backend's certificate; null leaves that to the node's settings.",
        ),
        Field::integer("tls_verify_depth")
            .default(Value::Null)
            .between(0.0, 64.0)
            .description(
                "How many intermediate certificates the backend's chain may have; null leaves that \
                 to the node's settings.",
            ),
        Field::array("ca_certificates", Field::string(ITEM).uuid()).description(
            "Ids of the authorities that the backend's certificate may come from; null leaves that \
             to the node's settings.",
        ),
        Field::boolean("enabled")
            .required()
            .default(true)
            .description("False keeps the service and its routes away from data planes."),
    ]
}

/// `url` stands for protocol, host, port and path.
fn from_url(value: &Value) -> Object {
    let mut fields = Object::new();
    let Some(parts) = value.as_str().map(url::parts) else {
        return fields;
    };
    let number = parts.port.and_then(|port| port.parse::<u32>().ok());
    let protocol = parts.scheme.unwrap_or(match number {
        Some(443) => "https",
        _ => "http",
    });
    let port = match (number, parts.port) {
        (Some(number), _) => number.into(),
        // A port that is no number is told so by the field.
        (None, Some(text)) => text.into(),
        (None, None) if protocol == "https" => 443.into(),
        (None, None) => 80.into(),
    };
    fields.insert("protocol".to_owned(), protocol.into());
    fields.insert("host".to_owned(), parts.host.into());
    fields.insert("port".to_owned(), port);
    fields.insert("path".to_owned(), parts.path.into());
    fields
}
