//! TLS versions, as nginx lists them: parted by spaces.

use super::choice::TlsVersion;
use super::{Context, Invalid, Kind, Setting};

/// TLS versions that may be spoken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsVersions(pub Vec<TlsVersion>);

impl Setting for TlsVersions {
    const KIND: Kind = Kind::Special("TLS versions parted by spaces, such as TLSv1.2 TLSv1.3");

    fn parse(text: &str, context: Context<'_>) -> Result<Self, Invalid> {
        text.split([' ', ','])
            .filter(|word| !word.is_empty())
            .map(|word| TlsVersion::parse(word, context))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}
