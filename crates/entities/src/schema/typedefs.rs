//! Fields that many schemas share.

use super::check::CheckRule;
use super::field::{Field, ITEM};
use crate::format;

/// Every protocol of routes, services and plugins, sorted.
pub const PROTOCOLS: [&str; 8] = [
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
        .description("A string representing a UUID (universally unique identifier).")
}

/// `created_at` or `updated_at` in seconds.
pub fn seconds(name: &'static str) -> Field {
    Field::integer(name)
        .timestamp()
        .auto()
        .description("An integer representing an automatic Unix timestamp in seconds.")
}

/// `created_at` or `updated_at` in seconds with three decimals.
pub fn milliseconds(name: &'static str) -> Field {
    Field::number(name)
        .timestamp()
        .auto()
        .description("A number representing an automatic Unix timestamp in milliseconds.")
}

/// Labels.
pub fn tags() -> Field {
    Field::set("tags", Field::string(ITEM).custom(format::name::tag))
        .description("A set of strings representing tags.")
}

/// A name with letters of any script.
pub fn name(name: &'static str) -> Field {
    Field::string(name)
        .custom(format::name::utf8_name)
        .description("A unique string representing a UTF-8 encoded name.")
}

/// A protocol.
pub fn protocol(name: &'static str) -> Field {
    Field::string(name)
        .one_of(PROTOCOLS)
        .description("A string representing a protocol, such as HTTP or HTTPS.")
}

/// The protocols that a plugin runs for: by default those of HTTP.
pub fn protocols(name: &'static str) -> Field {
    Field::set(name, protocol(ITEM))
        .required()
        .default(vec!["grpc", "grpcs", "http", "https"])
        .description("A set of strings representing protocols.")
}

/// A host name or address.
pub fn host(name: &'static str) -> Field {
    Field::string(name)
        .custom(format::host::host)
        .description("A string representing a host name, such as example.com.")
}

/// A host name or address with an optional port.
pub fn host_with_optional_port(name: &'static str) -> Field {
    Field::string(name)
        .custom(format::host::host_with_optional_port)
        .description("A string representing a host name with an optional port number.")
}

/// A host name with an optional `*` at one end.
pub fn wildcard_host(name: &'static str) -> Field {
    Field::string(name)
        .custom(format::host::wildcard_host)
        .description("A string representing a wildcard host name, such as *.example.com.")
}

/// A TLS server name.
pub fn sni(name: &'static str) -> Field {
    Field::string(name)
        .custom(format::host::server_name)
        .description("A string representing an SNI (server name indication) value for TLS.")
}

/// An address.
pub fn ip(name: &'static str) -> Field {
    Field::string(name)
        .custom(format::host::ip)
        .description("A string representing an IP address.")
}

/// An address or a block of addresses.
pub fn ip_or_cidr(name: &'static str) -> Field {
    Field::string(name)
        .custom(format::host::ip_or_cidr)
        .description("A string representing an IP address or CIDR block.")
}

/// An address of version 4, or a block of them.
pub fn ip_or_cidr_v4(name: &'static str) -> Field {
    Field::string(name)
        .custom(format::host::ip_or_cidr_v4)
        .description("A string representing an IPv4 address or CIDR block.")
}

/// A port.
pub fn port(name: &'static str) -> Field {
    Field::integer(name)
        .between(0.0, 65_535.0)
        .description("An integer representing a port number between 0 and 65535, inclusive.")
}

/// A path.
pub fn path(name: &'static str) -> Field {
    Field::string(name)
        .starts_with("/")
        .match_none("//", "must not have empty segments")
        .custom(format::path::path)
        .description("A string representing a URL path; it starts with a slash.")
}

/// A URL with a scheme and a host.
pub fn url(name: &'static str) -> Field {
    Field::string(name)
        .custom(format::url::url)
        .description("A string representing a URL.")
}

/// The name of a cookie.
pub fn cookie_name(name: &'static str) -> Field {
    Field::string(name)
        .custom(format::name::cookie)
        .description("A string representing an HTTP token.")
}

/// The name of a header.
pub fn header_name(name: &'static str) -> Field {
    Field::string(name)
        .custom(format::name::header)
        .description("A string representing an HTTP header name.")
}

/// Header values by header name.
pub fn headers(name: &'static str) -> Field {
    let values = Field::array(ITEM, Field::string(ITEM));
    Field::map(name, header_name(ITEM), values)
        .description("A map of header names to arrays of header values.")
}

/// A method.
pub fn http_method(name: &'static str) -> Field {
    Field::string(name)
        .matches("^[A-Z]+$")
        .description("A string representing an HTTP method, in upper case.")
}

/// A time-out in milliseconds.
pub fn timeout(name: &'static str) -> Field {
    Field::integer(name)
        .between(0.0, LONGEST)
        .description("An integer representing a timeout in milliseconds.")
}

/// A time-out in milliseconds that is not zero.
pub fn nonzero_timeout(name: &'static str) -> Field {
    timeout(name).between(1.0, LONGEST)
}

/// A certificate in PEM.
pub fn certificate(name: &'static str) -> Field {
    Field::string(name)
        .custom(format::pem::certificate)
        .description("A string representing a certificate.")
}

/// A private key in PEM.
pub fn key(name: &'static str) -> Field {
    Field::string(name)
        .custom(format::pem::key)
        .description("A string representing a key.")
}

/// Addresses and ports of stream routes.
pub fn endpoints(name: &'static str) -> Field {
    let endpoint = Field::record(ITEM, [ip_or_cidr("ip"), port("port")])
        .check(CheckRule::at_least_one_of(&["ip", "port"]));
    Field::set(name, endpoint)
        .description("A set of endpoints, each of which has at least one of 'ip' or 'port'.")
}
