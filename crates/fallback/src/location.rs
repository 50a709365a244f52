//! Where a storage is: the value of `cluster_fallback_config_storage`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use percent_encoding::{
    AsciiSet, CONTROLS, percent_decode_str, percent_encode, utf8_percent_encode,
};
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
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Location {
    /// A bucket of Amazon S3 or of a store that speaks its protocol.
    S3 {
        /// The name of the bucket.
        bucket: String,
        /// Prefix of every key, without slashes at its ends; may be empty.
        prefix: String,
    },
    /// A directory of the file system (a mounted volume, NFS).
    Directory {
        /// An absolute path.
        path: PathBuf,
    },
}

/// A location that cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// The list has no location.
    #[error("no storage is named: write one such as s3://bucket/prefix or file:///directory")]
    Empty,
    /// The text is not a URL.
    #[error("`{text}` is not a storage URL: write s3://bucket/prefix or file:///directory")]
    NotUrl {
        /// What was written, without any credentials.
        text: String,
    },
    /// A scheme that is known but that this build does not speak.
    #[error(
        "{scheme}:// storages are not supported by this build yet: use s3:// or file:// instead of `{text}`"
    )]
    Unsupported {
        /// The scheme.
        scheme: String,
        /// What was written, without any credentials.
        text: String,
    },
    /// A scheme that no storage has.
    #[error("`{scheme}` of `{text}` is no kind of storage: use s3:// or file://")]
    UnknownScheme {
        /// The scheme.
        scheme: String,
        /// What was written, without any credentials.
        text: String,
    },
    /// An S3 location without a bucket.
    #[error("`{text}` names no bucket: write s3://bucket/prefix")]
    NoBucket {
        /// What was written.
        text: String,
    },
    /// A file location with a host or without an absolute path.
    #[error("`{text}` is not an absolute directory: write file:///directory (three slashes)")]
    NoDirectory {
        /// What was written.
        text: String,
    },
    /// The URL has parts that a storage does not know.
    #[error(
        "`{text}` has a user, port, query or fragment, which a storage URL cannot have: give credentials in the environment and an endpoint in AWS_CONFIG_STORAGE_ENDPOINT"
    )]
    Extra {
        /// What was written, without any credentials.
        text: String,
    },
}

impl Location {
    /// Reads a comma-separated list; order is kept, repeated locations are dropped.
    pub fn parse(list: &str) -> Result<Vec<Self>, LocationError> {
        let mut locations = Vec::new();
        for text in list.split(',').map(str::trim).filter(|t| !t.is_empty()) {
            let location = text.parse()?;
            if !locations.contains(&location) {
                locations.push(location);
            }
        }
        if locations.is_empty() {
            return Err(LocationError::Empty);
        }
        Ok(locations)
    }
}

impl FromStr for Location {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        let url = Url::parse(text).map_err(|_| LocationError::NotUrl {
            text: without_credentials(text),
        })?;
        let text = without_credentials(text);
        let scheme = url.scheme();
        match scheme {
            "s3" | "file" => {}
            "gcs" | "gs" | "azure" | "az" | "abfs" | "abfss" | "https" | "http" => {
                return Err(LocationError::Unsupported {
                    scheme: scheme.to_owned(),
                    text,
                });
            }
            _ => {
                return Err(LocationError::UnknownScheme {
                    scheme: scheme.to_owned(),
                    text,
                });
            }
        }
        if !url.username().is_empty()
            || url.password().is_some()
            || url.port().is_some()
            || url.query().is_some()
            || url.fragment().is_some()
        {
            return Err(LocationError::Extra { text });
        }
        if scheme == "file" {
            return match url.to_file_path() {
                Ok(path) if path.is_absolute() => Ok(Self::Directory { path }),
                _ => Err(LocationError::NoDirectory { text }),
            };
        }
        let bucket = url.host_str().unwrap_or_default().to_owned();
        if bucket.is_empty() {
            return Err(LocationError::NoBucket { text });
        }
        let prefix = percent_decode_str(url.path()).decode_utf8_lossy();
        let prefix = prefix
            .split('/')
            .filter(|segment| !segment.is_empty())
            .collect::<Vec<_>>()
            .join("/");
        Ok(Self::S3 { bucket, prefix })
    }
}

/// Cuts what stands before an `@` of the authority, and any query, out of a text that goes into
/// messages.
fn without_credentials(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    match text.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = match rest.find('/') {
                Some(slash) => rest.split_at(slash),
                None => (rest, ""),
            };
            let host = authority.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}{path}")
        }
        None => text.to_owned(),
    }
}

impl fmt::Display for Location {
    /// As a URL that [`Location::parse`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::S3 { bucket, prefix } => {
                let prefix = utf8_percent_encode(prefix, SPECIAL);
                write!(f, "s3://{bucket}/{prefix}")
            }
            Self::Directory { path } => {
                write!(f, "file://")?;
                match path.to_str() {
                    Some(path) => utf8_percent_encode(path, SPECIAL).fmt(f),
                    None => percent_encode(path.as_os_str().as_encoded_bytes(), SPECIAL).fmt(f),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_locations_keeps_its_order_and_drops_repeats() {
        let list =
            Location::parse("s3://b/deep/prefix/, file:///var/backup ,s3://b/deep/prefix").unwrap();
        let texts: Vec<String> = list.iter().map(Location::to_string).collect();
        assert_eq!(texts, ["s3://b/deep/prefix", "file:///var/backup"]);
    }

    #[test]
    fn a_location_is_written_as_it_is_read() {
        for text in [
            "s3://b/a%20%25%2C/b%20",
            "file:///a%20b/%25c%2Cd",
            "file:///a/%FF",
        ] {
            let location: Location = text.parse().unwrap();
            assert_eq!(location.to_string(), text);
        }
    }

    #[test]
    fn a_bucket_needs_no_prefix() {
        assert_eq!(
            "s3://bucket".parse(),
            Ok(Location::S3 {
                bucket: "bucket".into(),
                prefix: String::new()
            })
        );
    }

    #[test]
    fn known_but_unsupported_schemes_say_what_to_use() {
        for text in ["gcs://b/p", "gs://b/p", "azure://a/c/p", "https://h/p"] {
            let error = text.parse::<Location>().unwrap_err();
            assert!(
                matches!(error, LocationError::Unsupported { .. }),
                "{error:?}"
            );
            assert!(
                error.to_string().contains("use s3:// or file://"),
                "{error}"
            );
        }
    }

    #[test]
    fn wrong_locations_are_told_apart() {
        assert_eq!(Location::parse(" , "), Err(LocationError::Empty));
        assert!(matches!(
            "bucket/prefix".parse::<Location>(),
            Err(LocationError::NotUrl { .. })
        ));
        assert!(matches!(
            "ftp://h/p".parse::<Location>(),
            Err(LocationError::UnknownScheme { .. })
        ));
        assert!(matches!(
            "s3:///prefix".parse::<Location>(),
            Err(LocationError::NoBucket { .. })
        ));
        assert!(matches!(
            "file://host/dir".parse::<Location>(),
            Err(LocationError::NoDirectory { .. })
        ));
        assert!(matches!(
            "s3://b/p?region=x".parse::<Location>(),
            Err(LocationError::Extra { .. })
        ));
    }

    #[test]
    fn credentials_in_a_url_never_reach_the_message() {
        let error = "s3://AKIA:hunter2@bucket/prefix"
            .parse::<Location>()
            .unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
        let error = "weird://AKIA:hunter2@bucket/prefix"
            .parse::<Location>()
            .unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
