//! How a URL becomes a location.

use std::str::FromStr;

use percent_encoding::percent_decode_str;
use url::Url;

use crate::{Location, LocationError, Problem};

/// The domain of Azure Data Lake Storage, whose URLs are those of the same account's blobs.
const DATA_LAKE: &str = ".dfs.core.windows.net";

impl Location {
    /// Reads a comma-separated list; order is kept, repeated locations are dropped.
    ///
    /// # Errors
    ///
    /// The first location that cannot be used; [`Problem::Empty`] when there is none.
    pub fn parse(list: &str) -> Result<Vec<Self>, LocationError> {
        let mut locations = Vec::new();
        for text in list.split(',').map(str::trim).filter(|t| !t.is_empty()) {
            let location = text.parse()?;
            if !locations.contains(&location) {
                locations.push(location);
            }
        }
        if locations.is_empty() {
            return Err(LocationError {
                text: String::new(),
                problem: Problem::Empty,
            });
        }
        Ok(locations)
    }
}

impl FromStr for Location {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        read(text).map_err(|problem| LocationError {
            text: without_credentials(text),
            problem,
        })
    }
}

fn read(text: &str) -> Result<Location, Problem> {
    let url = Url::parse(text).map_err(|_| Problem::NotUrl)?;
    let scheme = url.scheme();
    match scheme {
        "s3" | "gcs" | "gs" | "azure" | "abfss" | "file" | "https" => {}
        "http" => return Err(Problem::PlainHttp),
        "az" | "abfs" | "adl" | "wasb" | "wasbs" => return Err(Problem::AzureDialect),
        _ => return Err(Problem::UnknownScheme),
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(Problem::Query);
    }
    // In the URLs of Data Lake Storage the container stands where others have a user.
    if url.password().is_some() || (!url.username().is_empty() && scheme != "abfss") {
        return Err(Problem::Credentials);
    }
    if scheme == "https" {
        return web(url);
    }
    if url.port().is_some() {
        return Err(Problem::Port);
    }
    if scheme == "file" {
        return match url.to_file_path() {
            Ok(path) if path.is_absolute() => Ok(Location::Directory { path }),
            _ => Err(Problem::NoDirectory),
        };
    }
    let host = url.host_str().unwrap_or_default();
    let path = plain_path(&url)?;
    match scheme {
        "azure" => {
            let (container, prefix) = path.split_once('/').unwrap_or((&path, ""));
            azure(host, container, prefix)
        }
        "abfss" => {
            let account = host.strip_suffix(DATA_LAKE).ok_or(Problem::AzureDialect)?;
            azure(account, url.username(), &path)
        }
        "s3" if host.is_empty() => Err(Problem::NoS3Bucket),
        "s3" => Ok(Location::S3 {
            bucket: host.to_owned(),
            prefix: path,
        }),
        _ if host.is_empty() => Err(Problem::NoGcsBucket),
        _ => Ok(Location::Gcs {
            bucket: host.to_owned(),
            prefix: path,
        }),
    }
}

fn azure(account: &str, container: &str, prefix: &str) -> Result<Location, Problem> {
    // The account becomes a part of a host's name: nothing else may stand there.
    let is_account = (3..=24).contains(&account.len())
        && account
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if !is_account {
        return Err(Problem::NoAccount);
    }
    let is_container = (3..=63).contains(&container.len())
        && container.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-$".contains(&byte)
        });
    if !is_container {
        return Err(Problem::NoContainer);
    }
    Ok(Location::Azure {
        account: account.to_owned(),
        container: container.to_owned(),
        prefix: prefix.to_owned(),
    })
}

fn web(mut url: Url) -> Result<Location, Problem> {
    plain_path(&url)?;
    let path = url
        .path()
        .split('/')
        .filter(|segment| !segment.is_empty())
        .collect::<Vec<_>>()
        .join("/");
    url.set_path(&path.replace(',', "%2C"));
    Ok(Location::Https { url })
}

/// The path, decoded, without empty segments.
fn plain_path(url: &Url) -> Result<String, Problem> {
    let path = percent_decode_str(url.path())
        .decode_utf8()
        .map_err(|_| Problem::Prefix)?;
    let segments: Vec<&str> = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .collect();
    let is_plain = segments
        .iter()
        .all(|segment| !matches!(*segment, "." | "..") && !segment.chars().any(char::is_control));
    if is_plain {
        Ok(segments.join("/"))
    } else {
        Err(Problem::Prefix)
    }
}

/// Cuts what stands before an `@` of the authority, and any query, out of a text that goes into
/// messages.
fn without_credentials(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let (authority, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, ""),
    };
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn problem(text: &str) -> Problem {
        text.parse::<Location>().unwrap_err().problem
    }

    #[test]
    fn a_list_of_locations_keeps_its_order_and_drops_repeats() {
        let list = Location::parse(
            "s3://b/deep/prefix/, file:///var/backup ,s3://b/deep/prefix,gs://b/p,gcs://b/p/",
        )
        .unwrap();
        let texts: Vec<String> = list.iter().map(Location::to_string).collect();
        assert_eq!(
            texts,
            ["s3://b/deep/prefix", "file:///var/backup", "gcs://b/p"]
        );
    }

    #[test]
    fn a_location_is_written_as_it_is_read() {
        for text in [
            "s3://bucket",
            "s3://b/a%20%25%2C/b%20",
            "gcs://b_1.example.org/p/q",
            "azure://account1/container",
            "azure://account1/$web/a%20b/c",
            "file:///a%20b/%25c%2Cd",
            "file:///a/%FF",
            "https://cdn.example.org",
            "https://cdn.example.org:8443/a%20b/c%2Cd",
            "https://[::1]/backup",
        ] {
            let location: Location = text.parse().unwrap();
            assert_eq!(location.to_string(), text);
        }
    }

    #[test]
    fn other_ways_to_write_a_location_mean_the_same() {
        for (text, same) in [
            ("gs://b/p", "gcs://b/p"),
            ("azure://account1/con//p/", "azure://account1/con/p"),
            (
                "abfss://container@account1.dfs.core.windows.net/p",
                "azure://account1/container/p",
            ),
            (
                "https://CDN.example.org:443/p//q/",
                "https://cdn.example.org/p/q",
            ),
        ] {
            assert_eq!(
                text.parse::<Location>().unwrap(),
                same.parse::<Location>().unwrap()
            );
            assert_eq!(text.parse::<Location>().unwrap().to_string(), same);
        }
    }

    #[test]
    fn wrong_locations_are_told_apart() {
        for (text, expected) in [
            ("bucket/prefix", Problem::NotUrl),
            ("ftp://h/p", Problem::UnknownScheme),
            ("s3:///prefix", Problem::NoS3Bucket),
            ("gcs:///prefix", Problem::NoGcsBucket),
            ("azure:///container", Problem::NoAccount),
            ("azure://Account/container", Problem::NoAccount),
            ("azure://a.evil.example/container", Problem::NoAccount),
            ("azure://account1", Problem::NoContainer),
            ("azure://account1/Con_tainer/p", Problem::NoContainer),
            ("az://container/prefix", Problem::AzureDialect),
            (
                "abfs://c@account1.dfs.core.windows.net/p",
                Problem::AzureDialect,
            ),
            ("abfss://c@account1.example.org/p", Problem::AzureDialect),
            ("file://host/dir", Problem::NoDirectory),
            ("http://host/path", Problem::PlainHttp),
            ("s3://b/p?region=x", Problem::Query),
            ("https://h/p?token=x", Problem::Query),
            ("https://h/p#part", Problem::Query),
            ("s3://b:9000/p", Problem::Port),
            ("s3://key:secret@b/p", Problem::Credentials),
            ("https://user@h/p", Problem::Credentials),
            ("s3://b/%FF", Problem::Prefix),
            ("s3://b/a%0Ab", Problem::Prefix),
        ] {
            assert_eq!(problem(text), expected, "{text}");
        }
        assert_eq!(Location::parse(" , ").unwrap_err().problem, Problem::Empty);
    }

    #[test]
    fn an_error_says_what_was_written_what_is_wrong_and_how_to_mend_it() {
        let error = "http://mirror/backup".parse::<Location>().unwrap_err();
        let text = error.to_string();
        for part in [
            "http://mirror/backup",
            "without encryption",
            "write https://",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn credentials_in_a_url_never_reach_the_message() {
        for text in [
            "s3://AKIA:hunter2@bucket/prefix",
            "weird://AKIA:hunter2@bucket/prefix",
            "azure://account1/container?sig=hunter2",
            "https://user:hunter2@host/path",
        ] {
            let error = text.parse::<Location>().unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        /// Whatever is read is written so that it is read again, alone and in a list.
        #[test]
        fn what_is_read_is_written_so_that_it_is_read_again(
            scheme in "s3|gcs|gs|azure|file|https|abfss|az",
            host in "[a-z0-9.@:_-]{0,12}",
            path in "(/[ -~é]{0,8}){0,4}",
        ) {
            if let Ok(location) = format!("{scheme}://{host}{path}").parse::<Location>() {
                let text = location.to_string();
                prop_assert_eq!(text.parse(), Ok(location.clone()));
                prop_assert_eq!(Location::parse(&text), Ok(vec![location]));
            }
        }
    }
}
