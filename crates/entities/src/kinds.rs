//! One file per kind of entity.

mod acl;
mod acme;
mod basic_auth_credential;
mod ca_certificate;
mod certificate;
mod consumer;
mod described;
mod hmac_auth_credential;
mod jwt_secret;
mod key;
mod key_auth_credential;
mod key_set;
mod null;
mod oauth2;
mod plugin;
mod route;
mod service;
mod session;
mod sni;
mod target;
mod upstream;
mod vault;

pub use acl::Acl;
pub use basic_auth_credential::BasicAuthCredential;
pub use ca_certificate::CaCertificate;
pub use certificate::Certificate;
pub use consumer::Consumer;
pub use hmac_auth_credential::HmacAuthCredential;
pub use jwt_secret::JwtSecret;
pub use key_auth_credential::KeyAuthCredential;
pub use oauth2::{ClientType, OAuth2Credential};
pub use plugin::Plugin;
pub use route::{Endpoint, PathHandling, Route};
pub use service::Service;
pub use sni::Sni;
pub use target::Target;
pub use upstream::{
    ActiveChecks, Algorithm, HashOn, HealthChecks, PassiveChecks, Thresholds, Upstream,
};
pub use vault::Vault;

use serde::{Deserialize, Serialize};

use crate::schema::Field;
use crate::{Object, RouterFlavor, Schema};

/// The schemas of all kinds; those that are referred to come before those that refer.
pub(crate) fn schemas(flavor: RouterFlavor) -> Vec<Schema> {
    vec![
        ca_certificate::schema(),
        certificate::schema(),
        consumer::schema(),
        service::schema(),
        route::schema(flavor),
        key_set::schema(),
        key::schema(),
        plugin::schema(),
        sni::schema(),
        upstream::schema(),
        target::schema(),
        vault::schema(),
        acl::schema(),
        basic_auth_credential::schema(),
        hmac_auth_credential::schema(),
        jwt_secret::schema(),
        key_auth_credential::schema(),
        oauth2::credentials(),
        oauth2::tokens(),
    ]
}

/// The schemas of short-lived records that have no place in a declarative configuration.
pub(crate) fn records() -> Vec<Schema> {
    vec![
        acme::storage(),
        oauth2::authorization_codes(),
        session::schema(),
    ]
}

/// Whether entities of a kind are short-lived records.
pub(crate) fn are_records(kind: &str) -> bool {
    matches!(
        kind,
        acme::STORAGE | oauth2::TOKENS | oauth2::AUTHORIZATION_CODES | session::SESSIONS
    )
}

/// The schemas of kinds that are described and not kept.
pub(crate) fn described() -> Vec<Schema> {
    described::schemas()
}

/// The consumer that a credential belongs to.
fn owner() -> Field {
    Field::foreign("consumer", "consumers").required().cascade()
}

/// The text of a field, if it has one.
fn text<'e>(entity: &'e Object, field: &str) -> Option<&'e str> {
    entity.get(field)?.as_str()
}

/// An application protocol, as services and routes name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// HTTP in clear.
    Http,
    /// HTTP over TLS.
    Https,
    /// gRPC in clear (HTTP/2).
    Grpc,
    /// gRPC over TLS.
    Grpcs,
    /// A TCP stream.
    Tcp,
    /// A TLS stream that the gateway terminates.
    Tls,
    /// A TLS stream passed on by its SNI.
    TlsPassthrough,
    /// UDP datagrams.
    Udp,
    /// WebSocket in clear.
    Ws,
    /// WebSocket over TLS.
    Wss,
}

impl Protocol {
    /// The name in the Admin API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Grpc => "grpc",
            Self::Grpcs => "grpcs",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::TlsPassthrough => "tls_passthrough",
            Self::Udp => "udp",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }

    /// Whether connections with this protocol are encrypted towards the peer.
    pub fn is_tls(self) -> bool {
        matches!(
            self,
            Self::Https | Self::Grpcs | Self::Tls | Self::TlsPassthrough | Self::Wss
        )
    }
}
