//! Addresses of fallback storages.

use url::Url;

use super::{Context, Invalid, Kind, Setting};

/// Where backups of the configuration lie: `s3://bucket/prefix`, `file:///dir`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageUrl(Url);

impl StorageUrl {
    /// The address.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.0
    }
}

impl std::fmt::Display for StorageUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Setting for StorageUrl {
    const KIND: Kind = Kind::Special("a storage address such as s3://bucket/prefix or file:///dir");

    fn parse(text: &str, _: Context<'_>) -> Result<Self, Invalid> {
        let mend = "write s3://BUCKET/PREFIX or file:///DIRECTORY";
        let url = Url::parse(text)
            .map_err(|error| Invalid::new(format!("is not an address: {error}"), mend))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Invalid::new(
                "carries credentials in the address",
                "give credentials in the environment, as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, never in the address",
            ));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(Invalid::new("has a query or a fragment", mend));
        }
        match url.scheme() {
            "s3" if url.host_str().is_none_or(str::is_empty) => {
                Err(Invalid::new("names no bucket", mend))
            }
            "file" if url.host_str().is_some_and(|host| host != "localhost") => Err(Invalid::new(
                "names a host; a directory needs three slashes",
                "write file:///DIRECTORY",
            )),
            "s3" | "file" => Ok(Self(url)),
            "gcs" | "gs" | "azure" | "az" => Err(Invalid::new(
                format!("{} storages are not in this build yet", url.scheme()),
                mend,
            )),
            other => Err(Invalid::new(format!("no storage is called {other}"), mend)),
        }
    }
}
