//! Fields that many schemas share.

use super::check::CheckRule;
use super::field::{Field, ITEM};
use crate::format;

/// Every protocol of routes, services and plugins, sorted.
const PROTOCOLS: [&str; 8] = [
    "grpc",
    "grpcs",
    "http",
    "https",
    "tcp",
    "tls",
    "tls_passthrough",
    "udp",
];

/// The longest time-out, in milliseconds.
const LONGEST: f64 = 2_147_483_646.0;

/// The id of an entity, made when absent.
pub fn id() -> Field {
    uuid("id").auto()
}

/// A UUID.
pub fn uuid(name: &'static str) -> Field {
    Field::string(name)
        .uuid()
        .description("UUID in hexadecimal digits with hyphens.")
}

/// `created_at` or `updated_at` in seconds.
pub fn seconds(name: &'static str) -> Field {
    Field::integer(name)
        .timestamp()
        .auto()
        .description("Seconds since 1970 (UTC); kept by the gateway.")
}

/// `created_at` or `updated_at` in seconds with three decimals.
pub fn milliseconds(name: &'static str) -> Field {
    Field::number(name)
        .timestamp()
        .auto()
        .description("Seconds since 1970 (UTC) with three decimals; kept by the gateway.")
}

/// Labels.
pub fn tags() -> Field {
    Field::set("tags", Field::string(ITEM).custom(format::name::tag))
        .description("Labels to filter lists by; no `,` or `/` in them.")
}

/// A name with letters of any script.
pub fn name(name: &'static str) -> Field {
    Field::string(name)
        .custom(format::name::utf8_name)
        .description("Unique. Letters and digits of any script, and `.`, `-`, `_`, `~`.")
}

/// A protocol.
pub fn protocol(name: &'static str) -> Field {
    Field::string(name)
        .one_of(PROTOCOLS)
        .description("How the peer is spoken to, for example `https`.")
}

/// The protocols that a plugin runs for: by default those of HTTP.
pub fn protocols(name: &'static str) -> Field {
    Field::set(name, protocol(ITEM))
        .required()
        .default(vec!["grpc", "grpcs", "http", "https"])
        .description("Requests of other protocols are left alone.")
}

/// A host name or address.
pub fn host(name: &'static str) -> Field {
    Field::string(name)
        .custom(format::host::host)
        .description("DNS name or IP address, without a port.")
}

/// A host name or address with an optional port.
pub fn host_with_optional_port(name: &'static str) -> Field {
    Field::string(name)
        .custom(format::host::host_with_optional_port)
        .description("DNS name or IP address; `:PORT` may follow.")
}

/// A host name with an optional port, or with `*` in the place of its first or last label.
pub fn host_pattern(name: &'static str) -> Field {
    Field::string(name)
        .match_all(
            r"^[^*]*\*?[^*]*$",
            "invalid wildcard: must have at most one wildcard",
        )
        .match_any(
            &[r"^\*\.", r"\.\*$", r"^[^*]*$"],
            "invalid wildcard: must be placed at leftmost or rightmost label",
        )
        .custom(format::host::route_host)
}

/// A host name with an optional `*` at one end.
pub fn wildcard_host(name: &'static str) -> Field {
    Field::string(name)
        .custom(format::host::wildcard_host)
        .description("DNS name; `*` may stand for its first or last part.")
}

/// A TLS server name.
pub fn sni(name: &'static str) -> Field {
    Field::string(name)
        .custom(format::host::server_name)
        .description("DNS name as clients send it in the TLS handshake.")
}

/// An address.
pub fn ip(name: &'static str) -> Field {
    Field::string(name)
        .custom(format::host::ip)
        .description("IPv4 or IPv6, without a port.")
}

/// An address or a block of addresses.
pub fn ip_or_cidr(name: &'static str) -> Field {
    Field::string(name)
        .custom(format::host::ip_or_cidr)
        .description("IPv4 or IPv6; `/BITS` makes it a block.")
}

/// An address of version 4, or a block of them.
pub fn ip_or_cidr_v4(name: &'static str) -> Field {
    Field::string(name)
        .custom(format::host::ip_or_cidr_v4)
        .description("IPv4; `/BITS` makes it a block.")
}

/// A port.
pub fn port(name: &'static str) -> Field {
    Field::integer(name)
        .between(0.0, 65_535.0)
        .description("Port number, up to 65535.")
}

/// A path.
pub fn path(name: &'static str) -> Field {
    Field::string(name)
        .starts_with("/")
        .match_none("//", "must not have empty segments")
        .custom(format::path::path)
        .description("Begins with `/` and has no `//`.")
}

/// A URL with a scheme and a host.
pub fn url(name: &'static str) -> Field {
    Field::string(name)
        .custom(format::url::url)
        .description("Absolute: scheme, host, and what may follow.")
}

/// The name of a cookie.
pub fn cookie_name(name: &'static str) -> Field {
    Field::string(name)
        .custom(format::name::cookie)
        .description("Cookie name: letters, digits and few signs, as RFC 6265 has it.")
}

/// The name of a header.
pub fn header_name(name: &'static str) -> Field {
    Field::string(name)
        .custom(format::name::header)
        .description("Header name; upper and lower case are the same.")
}

/// Header values by header name.
pub fn headers(name: &'static str) -> Field {
    let values = Field::array(ITEM, Field::string(ITEM));
    Field::map(name, header_name(ITEM), values).description("Lists of values by header name.")
}

/// A method.
pub fn http_method(name: &'static str) -> Field {
    Field::string(name)
        .matches("^[A-Z]+$")
        .description("Request method in capitals, for example `GET`.")
}

/// A time-out in milliseconds.
pub fn timeout(name: &'static str) -> Field {
    Field::integer(name)
        .between(0.0, LONGEST)
        .description("Milliseconds.")
}

/// A time-out in milliseconds that is not zero.
pub fn nonzero_timeout(name: &'static str) -> Field {
    timeout(name).between(1.0, LONGEST)
}

/// A certificate in PEM.
pub fn certificate(name: &'static str) -> Field {
    Field::string(name)
        .custom(format::pem::certificate)
        .description("X.509 in PEM; the leaf first, then its chain.")
}

/// A private key in PEM.
pub fn key(name: &'static str) -> Field {
    Field::string(name)
        .custom(format::pem::key)
        .description("Private key in PEM, unencrypted.")
}

/// Addresses and ports of stream routes.
pub fn endpoints(name: &'static str) -> Field {
    let endpoint = Field::record(ITEM, [ip_or_cidr("ip"), port("port")])
        .check(CheckRule::at_least_one_of(&["ip", "port"]));
    Field::set(name, endpoint).description(
        "Ends of a connection, any of which fits: an address or block, a port, or both.",
    )
}
