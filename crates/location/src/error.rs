//! What can be wrong with a storage's URL, and how to mend it.

use std::fmt;

/// How every kind is written, for those who wrote none.
const ALL: &str = "write s3://BUCKET/PREFIX, gcs://BUCKET/PREFIX, azure://ACCOUNT/CONTAINER/PREFIX, file:///DIRECTORY or https://HOST/PATH (read only)";
const AZURE: &str = "write azure://ACCOUNT/CONTAINER/PREFIX";

/// A location that cannot be used. The text never holds a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocationError {
    /// What was written, without any credentials and query; empty for an empty list.
    pub text: String,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a location. `Display` goes on after the text: "names no bucket".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The list has no location.
    Empty,
    /// It is not a URL.
    NotUrl,
    /// Its scheme is that of no storage.
    UnknownScheme,
    /// `http://`.
    PlainHttp,
    /// A scheme that leaves the storage account open, or that is not Azure's blob service.
    AzureDialect,
    /// An S3 location without a bucket.
    NoS3Bucket,
    /// A Google Cloud Storage location without a bucket.
    NoGcsBucket,
    /// The account is missing, or is no name of a storage account.
    NoAccount,
    /// The container is missing, or is no name of a container.
    NoContainer,
    /// A file location with a host or without an absolute path.
    NoDirectory,
    /// Credentials stand in the URL.
    Credentials,
    /// The URL has a port where a storage has none.
    Port,
    /// The URL has a query or a fragment.
    Query,
    /// The prefix is not text, or has a segment that a storage would take for another.
    Prefix,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "names no storage",
            Self::NotUrl => "is not a URL",
            Self::UnknownScheme => "is no kind of storage",
            Self::PlainHttp => {
                "is read without encryption, so that everybody on the way could read the secrets of the configuration"
            }
            Self::AzureDialect => "does not say which Azure storage account is meant",
            Self::NoS3Bucket | Self::NoGcsBucket => "names no bucket",
            Self::NoAccount => {
                "names no storage account (3 to 24 lower-case letters and digits)"
            }
            Self::NoContainer => {
                "names no container (3 to 63 lower-case letters, digits and hyphens)"
            }
            Self::NoDirectory => "is not an absolute directory",
            Self::Credentials => "carries credentials in the URL",
            Self::Port => "has a port",
            Self::Query => "has a query or a fragment",
            Self::Prefix => {
                "has a path that is not plain text, or that holds `.` or `..` or a control character"
            }
        })
    }
}

impl Problem {
    /// How to mend it.
    #[must_use]
    pub fn mend(self) -> &'static str {
        match self {
            Self::Empty | Self::NotUrl | Self::UnknownScheme => ALL,
            Self::PlainHttp => "write https://HOST/PATH",
            Self::AzureDialect | Self::NoAccount | Self::NoContainer => AZURE,
            Self::NoS3Bucket => "write s3://BUCKET/PREFIX",
            Self::NoGcsBucket => "write gcs://BUCKET/PREFIX",
            Self::NoDirectory => "write file:///DIRECTORY (three slashes)",
            Self::Credentials => {
                "give credentials in the environment (AWS_*, GCP_SERVICE_ACCOUNT, AZURE_*) or, for https://, in cluster_fallback_config_https_header"
            }
            Self::Port => {
                "name another endpoint in AWS_CONFIG_STORAGE_ENDPOINT, GCP_CONFIG_STORAGE_ENDPOINT or AZURE_CONFIG_STORAGE_ENDPOINT"
            }
            Self::Query => "leave it out; credentials and endpoints belong in the environment",
            Self::Prefix => "use letters, digits, `.`, `_` and `-` in the path",
        }
    }
}

impl fmt::Display for LocationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problem {
            Problem::Empty => write!(f, "the list {}", self.problem)?,
            problem => write!(f, "`{}` {problem}", self.text)?,
        }
        write!(f, ": {}", self.problem.mend())
    }
}

impl std::error::Error for LocationError {}
