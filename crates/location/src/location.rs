//! The kinds of storage, and how each is written as a URL.

use std::fmt;
use std::path::PathBuf;

use percent_encoding::{AsciiSet, CONTROLS, percent_encode, utf8_percent_encode};
use url::Url;

/// What a URL or a list of URLs would take for something else.
const SPECIAL: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'%')
    .add(b'?')
    .add(b'#')
    .add(b',')
    .add(b'\\');

/// The place of one storage.
///
/// Prefixes are prefixes of every key, decoded, without slashes at their ends; they may be empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Location {
    /// A bucket of Amazon S3 or of a store that speaks its protocol.
    S3 {
        /// The name of the bucket.
        bucket: String,
        /// Prefix of every key.
        prefix: String,
    },
    /// A bucket of Google Cloud Storage.
    Gcs {
        /// The name of the bucket.
        bucket: String,
        /// Prefix of every key.
        prefix: String,
    },
    /// A container of Azure Blob Storage.
    Azure {
        /// The name of the storage account.
        account: String,
        /// The name of the container.
        container: String,
        /// Prefix of every key.
        prefix: String,
    },
    /// A directory of the file system (a mounted volume, NFS).
    Directory {
        /// An absolute path.
        path: PathBuf,
    },
    /// A folder of a web server (a CDN, a mirror), which is only read.
    Https {
        /// The folder: `https`, without credentials, query, fragment, and slash at its end.
        url: Url,
    },
}

impl Location {
    /// Whether the storage can be written at all, as far as its kind tells.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        !matches!(self, Self::Https { .. })
    }
}

impl fmt::Display for Location {
    /// As a URL that is read as the same location.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}{}", Prefix(prefix)),
            Self::Gcs { bucket, prefix } => write!(f, "gcs://{bucket}{}", Prefix(prefix)),
            Self::Azure {
                account,
                container,
                prefix,
            } => write!(f, "azure://{account}/{container}{}", Prefix(prefix)),
            Self::Directory { path } => {
                write!(f, "file://")?;
                match path.to_str() {
                    Some(path) => utf8_percent_encode(path, SPECIAL).fmt(f),
                    None => percent_encode(path.as_os_str().as_encoded_bytes(), SPECIAL).fmt(f),
                }
            }
            // A path of a web server is kept as it was encoded; a comma would part a list.
            Self::Https { url } => {
                f.write_str(&url.as_str().trim_end_matches('/').replace(',', "%2C"))
            }
        }
    }
}

struct Prefix<'a>(&'a str);

impl fmt::Display for Prefix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            "" => Ok(()),
            prefix => write!(f, "/{}", utf8_percent_encode(prefix, SPECIAL)),
        }
    }
}
