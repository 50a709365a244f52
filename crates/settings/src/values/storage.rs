//! Addresses of fallback storages.

use keelgate_location::Location;

use super::{Context, Invalid, Kind, Setting};

/// Where backups of the configuration lie: `s3://bucket/prefix`, `gcs://bucket/prefix`,
/// `azure://account/container/prefix`, `file:///directory`, `https://host/path` (read only).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageUrl(Location);

impl StorageUrl {
    /// The location.
    #[must_use]
    pub fn location(&self) -> &Location {
        &self.0
    }
}

impl std::fmt::Display for StorageUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Setting for StorageUrl {
    const KIND: Kind = Kind::Special(
        "a storage address: s3://bucket/prefix, gcs://bucket/prefix, azure://account/container/prefix, file:///dir, or https://host/path (read only)",
    );

    fn parse(text: &str, _: Context<'_>) -> Result<Self, Invalid> {
        text.parse()
            .map(Self)
            .map_err(|error: keelgate_location::LocationError| {
                Invalid::new(error.problem.to_string(), error.problem.mend())
            })
    }
}
