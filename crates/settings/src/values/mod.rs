//! The types that settings have, and how text becomes one.

mod address;
mod admin_credential;
mod choice;
mod ciphers;
mod http_header;
mod labels;
mod listener;
mod log_target;
mod numbers;
mod pem;
mod sealing;
mod secret;
mod storage;
mod text;
mod time;
mod tls;
mod workers;

use std::path::Path;

pub use address::{Address, NameServer, PortMap, TrustedPeer};
pub use admin_credential::{AdminCredential, AdminCredentials};
pub use choice::{
    CipherSuite, ClusterMtls, DatabaseKind, DnsRecord, ErrorType, HeaderToken, IoEngine, LogFormat,
    LogLevel, MaxAgePolicy, Ocsp, Role, RouterFlavor, TlsVersion, VerifyClient,
};
pub use ciphers::{Cipher, Ciphers};
pub use http_header::HttpHeader;
pub use labels::Label;
pub use listener::Listener;
pub use log_target::{AccessLogTarget, LogTarget, NamedFormat};
pub use numbers::{HeaderBuffers, Size};
pub(crate) use pem::looks_like_path;
pub use pem::{AuthorityBundle, Certificate, PrivateKey};
pub use sealing::{SealingKey, SealingKeys};
pub use secret::{S3PutOptions, Secret};
pub use storage::StorageUrl;
pub use text::OnOff;
pub use time::{Milliseconds, NginxTime, Seconds};
pub use tls::TlsVersions;
pub use workers::{Connections, Workers};

/// The shape of a setting's value, for documentation and for showing it as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `on` or `off`, shown as a JSON boolean.
    Bool,
    /// `on` or `off`, shown as these words (directives that Kong hands to nginx).
    OnOff,
    /// A whole or decimal number.
    Number,
    /// Text.
    Text,
    /// A path of a file or a directory.
    Path,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A number with `k`, `m` or `g`.
    Size,
    /// A time such as `60s`, `1d` or `1h30m`.
    Time,
    /// A path of a PEM file, PEM text, or base64 of PEM text.
    Pem,
    /// Other text with a syntax of its own, named here.
    Special(&'static str),
    /// A comma-separated list.
    List(&'static Kind),
}

impl Kind {
    /// A short description of what may be written.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Bool | Self::OnOff => "on or off".to_owned(),
            Self::Number => "a number".to_owned(),
            Self::Text => "text".to_owned(),
            Self::Path => "a path".to_owned(),
            Self::Choice(words) => format!("one of {}", words.join(", ")),
            Self::Size => "a size in bytes, or with k, m or g".to_owned(),
            Self::Time => "a time such as 60s, 10m or 1d".to_owned(),
            Self::Pem => "a path of a PEM file, PEM text, or base64 of PEM text".to_owned(),
            Self::Special(what) => (*what).to_owned(),
            Self::List(kind) => format!("comma-separated list; each {}", kind.describe()),
        }
    }

    /// Whether the value is a comma-separated list.
    #[must_use]
    pub fn is_list(&self) -> bool {
        matches!(self, Self::List(_))
    }
}

/// What a value may need to know beside its own text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    /// Relative paths of files that the node writes lie under it.
    pub(crate) prefix: &'a Path,
}

/// Text that could not become a value: what is wrong, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Invalid {
    pub(crate) message: String,
    pub(crate) mend: String,
}

impl Invalid {
    pub(crate) fn new(message: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            mend: mend.into(),
        }
    }
}

/// A type that settings can have.
pub(crate) trait Setting: Sized {
    /// The shape of the text.
    const KIND: Kind;
    /// Whether values must not be shown.
    const SECRET: bool = false;

    /// Reads trimmed, non-empty text.
    fn parse(text: &str, context: Context<'_>) -> Result<Self, Invalid>;

    /// The value of a setting that is not set; `None` when it must have one.
    fn absent() -> Option<Self> {
        None
    }
}

impl<T: Setting> Setting for Option<T> {
    const KIND: Kind = T::KIND;
    const SECRET: bool = T::SECRET;

    fn parse(text: &str, context: Context<'_>) -> Result<Self, Invalid> {
        T::parse(text, context).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

/// The entries of a comma-separated list, trimmed, empty ones left out.
pub(crate) fn entries(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
}

impl<T: Setting> Setting for Vec<T> {
    const KIND: Kind = Kind::List(&T::KIND);
    const SECRET: bool = T::SECRET;

    fn parse(text: &str, context: Context<'_>) -> Result<Self, Invalid> {
        entries(text)
            .map(|entry| T::parse(entry, context))
            .collect()
    }

    fn absent() -> Option<Self> {
        Some(Vec::new())
    }
}
