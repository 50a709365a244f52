//! `cluster_fallback_export_s3_config`: what S3's PutObject is told of every object.

mod parameters;

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use object_store::aws::Checksum;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

use parameters::{PARAMETERS, Rule};

/// The parameters of PutObject that are sent with every object. `Debug` shows their names only.
#[derive(Clone, Default)]
pub struct S3PutOptions {
    names: Vec<&'static str>,
    pub(super) headers: HeaderMap,
    pub(super) checksum: Option<Checksum>,
    /// The key of SSE-C in base64, which reads need as well.
    pub(super) customer_key: Option<String>,
    pub(super) requester_pays: bool,
}

/// A parameter that cannot be used, and why. The text never holds its value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum S3PutOptionsError {
    /// PutObject has no such parameter.
    #[error("PutObject of S3 has no parameter `{name}`{}", did_you_mean(.nearest))]
    Unknown {
        /// What was written.
        name: String,
        /// A known parameter with a similar name.
        nearest: Option<&'static str>,
    },
    /// PutObject has it, the gateway cannot take it.
    #[error("`{name}` cannot be set here: {reason}")]
    Unsupported {
        /// The parameter.
        name: &'static str,
        /// Why.
        reason: &'static str,
    },
    /// Its value has another form.
    #[error("`{name}` must be {expected}")]
    Invalid {
        /// The parameter.
        name: &'static str,
        /// The form that it must have.
        expected: String,
    },
    /// It makes sense only with another.
    #[error("`{name}` needs `{missing}` beside it")]
    Incomplete {
        /// The parameter.
        name: &'static str,
        /// The one that is missing.
        missing: &'static str,
    },
}

fn did_you_mean(nearest: &Option<&'static str>) -> String {
    nearest.map_or_else(String::new, |name| format!(": did you mean `{name}`?"))
}

/// How much metadata S3 takes, names and values together, in bytes.
const METADATA_LIMIT: usize = 2048;

/// How similar a name must be to be taken for a slip of the pen.
const SIMILARITY: f64 = 0.75;

impl S3PutOptions {
    /// Reads parameters by the names that the SDKs give them (`ServerSideEncryption`, `Tagging`…).
    ///
    /// # Errors
    ///
    /// The first parameter that is unknown, cannot be set, or has a value of another form.
    pub fn new(members: &Map<String, Value>) -> Result<Self, S3PutOptionsError> {
        let mut options = Self::default();
        for (name, value) in members {
            let Some((name, rule)) = PARAMETERS.iter().find(|(known, _)| known == name) else {
                return Err(S3PutOptionsError::Unknown {
                    name: name.clone(),
                    nearest: nearest(name),
                });
            };
            options.names.push(name);
            options.apply(name, *rule, value)?;
        }
        options.check()?;
        // S3 locks no object whose content it cannot check.
        if options
            .names
            .iter()
            .any(|name| name.starts_with("ObjectLock"))
        {
            options.checksum.get_or_insert(Checksum::SHA256);
        }
        Ok(options)
    }

    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    fn apply(
        &mut self,
        name: &'static str,
        rule: Rule,
        value: &Value,
    ) -> Result<(), S3PutOptionsError> {
        let wants = |expected: &str| S3PutOptionsError::Invalid {
            name,
            expected: expected.to_owned(),
        };
        let text = || {
            let text = value.as_str().filter(|text| !text.is_empty());
            text.ok_or_else(|| wants("a text"))
        };
        match rule {
            Rule::Refused(reason) => Err(S3PutOptionsError::Unsupported { name, reason }),
            Rule::Text(header) => self.set(name, header, text()?),
            Rule::Choice(header, words) => {
                let word = text()?;
                if !words.contains(&word) {
                    return Err(wants(&format!("one of {}", words.join(", "))));
                }
                self.set(name, header, word)
            }
            Rule::Flag(header) => {
                let flag = value.as_bool().ok_or_else(|| wants("true or false"))?;
                self.set(name, header, if flag { "true" } else { "false" })
            }
            Rule::Time(header) => {
                let time: Timestamp = text()?
                    .parse()
                    .map_err(|_| wants("a time such as 2030-01-31T00:00:00Z"))?;
                let written = match header {
                    "expires" => httpdate::fmt_http_date(time.into()),
                    _ => time.to_string(),
                };
                self.set(name, header, &written)
            }
            Rule::Tags(header) => match value {
                Value::Object(tags) => {
                    let tags = texts(tags).ok_or_else(|| wants("an object of texts"))?;
                    let encode = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
                    let pairs: Vec<String> = tags
                        .map(|(key, value)| format!("{}={}", encode(key), encode(value)))
                        .collect();
                    self.set(name, header, &pairs.join("&"))
                }
                _ => self.set(name, header, text()?),
            },
            Rule::Context(header) => {
                let expected = || wants("an object of texts, or such an object as base64");
                let context = match value {
                    Value::Object(context) => context.clone(),
                    _ => BASE64_STANDARD
                        .decode(text()?)
                        .ok()
                        .and_then(|json| serde_json::from_slice(&json).ok())
                        .ok_or_else(expected)?,
                };
                if texts(&context).is_none() {
                    return Err(expected());
                }
                let json = Value::Object(context).to_string();
                self.set(name, header, &BASE64_STANDARD.encode(json))
            }
            Rule::Metadata => {
                let expected = "an object of texts in ASCII whose names are letters, digits, `-` and `_`, of 2048 bytes together";
                let metadata = value.as_object().and_then(texts);
                let mut size = 0;
                for (key, value) in metadata.ok_or_else(|| wants(expected))? {
                    size += key.len() + value.len();
                    if size > METADATA_LIMIT || !value.is_ascii() {
                        return Err(wants(expected));
                    }
                    self.set(name, &format!("x-amz-meta-{key}"), value)
                        .map_err(|_| wants(expected))?;
                }
                Ok(())
            }
            Rule::Checksum => {
                self.checksum = Some(match text()? {
                    "SHA256" => Checksum::SHA256,
                    "CRC64NVME" => Checksum::CRC64NVME,
                    _ => return Err(wants("SHA256 or CRC64NVME")),
                });
                Ok(())
            }
            Rule::RequestPayer => {
                if text()? != "requester" {
                    return Err(wants("`requester`"));
                }
                self.requester_pays = true;
                Ok(())
            }
            Rule::CustomerAlgorithm => match text()? {
                "AES256" => Ok(()),
                _ => Err(wants("AES256")),
            },
            Rule::CustomerKey => {
                let key = text()?;
                // The SDKs take the bytes of the key, the command line takes base64 of them.
                let encoded = match BASE64_STANDARD.decode(key) {
                    Ok(bytes) if bytes.len() == 32 => key.to_owned(),
                    _ if key.len() == 32 => BASE64_STANDARD.encode(key),
                    _ => return Err(wants("a key of 32 bytes, as it is or as base64")),
                };
                self.customer_key = Some(encoded);
                Ok(())
            }
            Rule::CustomerKeyDigest => text().map(drop),
        }
    }

    fn set(
        &mut self,
        name: &'static str,
        header: &str,
        value: &str,
    ) -> Result<(), S3PutOptionsError> {
        let header = HeaderName::try_from(header).ok();
        let value = HeaderValue::try_from(value).ok();
        let (Some(header), Some(mut value)) = (header, value) else {
            return Err(S3PutOptionsError::Invalid {
                name,
                expected: "a text without line breaks and control characters".to_owned(),
            });
        };
        value.set_sensitive(true);
        self.headers.insert(header, value);
        Ok(())
    }

    /// What S3 would refuse with every write is told at the start.
    fn check(&self) -> Result<(), S3PutOptionsError> {
        for (name, missing) in [
            ("SSECustomerAlgorithm", "SSECustomerKey"),
            ("SSECustomerKey", "SSECustomerAlgorithm"),
            ("SSECustomerKeyMD5", "SSECustomerKey"),
            ("SSEKMSKeyId", "ServerSideEncryption"),
            ("SSEKMSEncryptionContext", "ServerSideEncryption"),
            ("ObjectLockMode", "ObjectLockRetainUntilDate"),
            ("ObjectLockRetainUntilDate", "ObjectLockMode"),
        ] {
            if self.names.contains(&name) && !self.names.contains(&missing) {
                return Err(S3PutOptionsError::Incomplete { name, missing });
            }
        }
        Ok(())
    }
}

impl fmt::Debug for S3PutOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(&self.names).finish()
    }
}

/// The members of an object whose values are texts; nothing if one is not.
fn texts(object: &Map<String, Value>) -> Option<impl Iterator<Item = (&str, &str)>> {
    object.values().all(Value::is_string).then(|| {
        object
            .iter()
            .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
    })
}

fn nearest(name: &str) -> Option<&'static str> {
    let similarity =
        |known: &str| strsim::jaro_winkler(&known.to_ascii_lowercase(), &name.to_ascii_lowercase());
    PARAMETERS
        .iter()
        .filter(|(_, rule)| !matches!(rule, Rule::Refused(_)))
        .map(|(known, _)| (*known, similarity(known)))
        .filter(|(_, similarity)| *similarity >= SIMILARITY)
        .max_by(|(_, a), (_, b)| a.total_cmp(b))
        .map(|(known, _)| known)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(options: Value) -> Result<S3PutOptions, S3PutOptionsError> {
        let Value::Object(options) = options else {
            unreachable!()
        };
        S3PutOptions::new(&options)
    }

    #[test]
    fn an_unknown_parameter_is_named_with_the_nearest_known_one() {
        for (written, nearest) in [
            ("ServerSideEncription", Some("ServerSideEncryption")),
            ("serversideencryption", Some("ServerSideEncryption")),
            ("SSEKMSKeyID", Some("SSEKMSKeyId")),
            ("Storage-Class", Some("StorageClass")),
            ("acl", Some("ACL")),
            ("Zebra", None),
        ] {
            let error = read(json!({written: "x"})).unwrap_err();
            assert_eq!(
                error,
                S3PutOptionsError::Unknown {
                    name: written.into(),
                    nearest
                }
            );
            assert!(error.to_string().contains(written));
        }
    }

    #[test]
    fn what_the_gateway_sets_itself_cannot_be_set() {
        for name in [
            "Body",
            "Key",
            "Bucket",
            "IfMatch",
            "ContentEncoding",
            "ChecksumSHA1",
        ] {
            let error = read(json!({name: "x"})).unwrap_err();
            assert!(
                matches!(&error, S3PutOptionsError::Unsupported { name: named, .. } if *named == name),
                "{error:?}"
            );
        }
    }

    #[test]
    fn values_of_another_form_are_refused_and_never_shown() {
        for (name, value) in [
            ("ACL", json!("everybody-secret")),
            ("BucketKeyEnabled", json!("secret")),
            ("StorageClass", json!(7)),
            ("StorageClass", json!("")),
            ("CacheControl", json!("no-cache\r\nx-secret: 1")),
            ("Tagging", json!({"a": 1, "b": "secret"})),
            ("Metadata", json!("secret")),
            ("Metadata", json!({"a b": "secret"})),
            ("Metadata", json!({"a": "s\u{e9}cret secret"})),
            ("Metadata", json!({"a": "secret".repeat(500)})),
            ("ObjectLockRetainUntilDate", json!("secret")),
            ("SSEKMSEncryptionContext", json!("secret")),
            ("SSECustomerKey", json!("secret")),
            ("SSECustomerAlgorithm", json!("secret")),
            ("ChecksumAlgorithm", json!("secret")),
            ("RequestPayer", json!("secret")),
        ] {
            let error = read(json!({name: value.clone()})).unwrap_err();
            assert!(
                matches!(&error, S3PutOptionsError::Invalid { name: named, .. } if *named == name),
                "{name} {value}: {error:?}"
            );
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn parameters_that_belong_together_are_asked_for_together() {
        let key = "0123456789abcdef0123456789abcdef";
        for (options, missing) in [
            (json!({"SSECustomerKey": key}), "SSECustomerAlgorithm"),
            (json!({"SSECustomerAlgorithm": "AES256"}), "SSECustomerKey"),
            (json!({"SSEKMSKeyId": "alias/x"}), "ServerSideEncryption"),
            (
                json!({"ObjectLockMode": "COMPLIANCE"}),
                "ObjectLockRetainUntilDate",
            ),
        ] {
            let error = read(options).unwrap_err();
            assert!(
                matches!(error, S3PutOptionsError::Incomplete { missing: named, .. } if named == missing),
                "{error:?}"
            );
        }
    }

    #[test]
    fn a_locked_object_has_a_checksum() {
        let locked = read(json!({"ObjectLockLegalHoldStatus": "ON"})).unwrap();
        assert!(matches!(locked.checksum, Some(Checksum::SHA256)));
        assert!(read(json!({"ACL": "private"})).unwrap().checksum.is_none());
    }

    #[test]
    fn a_customer_key_is_read_in_both_forms() {
        let key = "0123456789abcdef0123456789abcdef";
        let encoded = BASE64_STANDARD.encode(key);
        for written in [key, encoded.as_str()] {
            let options =
                read(json!({"SSECustomerAlgorithm": "AES256", "SSECustomerKey": written})).unwrap();
            assert_eq!(options.customer_key.as_ref(), Some(&encoded));
            assert!(!format!("{options:?}").contains(written));
        }
    }

    #[test]
    fn the_names_of_the_parameters_are_told_apart() {
        for (index, (name, _)) in PARAMETERS.iter().enumerate() {
            assert!(
                PARAMETERS[index + 1..]
                    .iter()
                    .all(|(other, _)| other != name),
                "{name}"
            );
        }
    }
}
