//! `kong.conf` and environment to typed, documented, checked settings.
//!
//! A [`Loader`] lays the sources over one another, lowest first: defaults, the
//! configuration file, `KONG_*` variables, `KEELGATE_*` variables, options of
//! the command line. It resolves `{vault://env/…}` references, parses every
//! value to its type, checks the values against one another, and reports all
//! [`Problem`]s at once, each with where the value came from and how to mend it.
//!
//! | module | its one reason |
//! |---|---|
//! | `sections` | the settings themselves, declared once each: type, default, scope, documentation |
//! | `values` | the types that settings have, and how text becomes one |
//! | `registry` | every key that is understood, as data |
//! | `accepted` | keys of Kong that are understood and change nothing here |
//! | `conf_file` | the syntax of the configuration file |
//! | `layers` | sources laid over one another, aliases, unknown keys |
//! | `vault` | references to secrets |
//! | `checks` | what must hold between settings |
//! | `reference` | the documented default file, written from the registry |

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod accepted;
mod aliases;
mod checks;
mod conf_file;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod layers;
mod loader;
mod node_id;
mod prefix;
mod problem;
mod reader;
mod reference;
mod registry;
mod section;
mod sections;
mod settings;
mod values;
mod vault;

pub use conf_file::SyntaxError;
pub use loader::{DEFAULT_PATHS, LoadError, Loaded, Loader};
pub use node_id::NodeIdError;
pub use problem::{Origin, Problem, Severity};
pub use reference::reference;
pub use registry::{Effect, Key, Scope, registry};
pub use sections::{
    Admin, Cluster, Database, Dns, Fallback, Listen, Log, NameResolution, Node, Postgres, Proxy,
    Replica, ResponseHeaders, Tls,
};
pub use settings::Settings;
pub use values::{
    AccessLogTarget, Address, AdminCredential, AdminCredentials, AuthorityBundle, Certificate,
    Cipher, CipherSuite, Ciphers, ClusterMtls, Connections, DatabaseKind, DnsRecord, ErrorType,
    HeaderBuffers, HeaderToken, HttpHeader, IoEngine, Kind, Label, Listener, LogFormat, LogLevel,
    LogTarget, MaxAgePolicy, Milliseconds, NameServer, NamedFormat, NginxTime, Ocsp, OnOff,
    PortMap, PrivateKey, Role, RouterFlavor, S3PutOptions, SealingKey, SealingKeys, Seconds,
    Secret, Size, StorageUrl, TlsVersion, TlsVersions, TrustedPeer, VerifyClient, Workers,
};
pub use vault::VaultReference;
