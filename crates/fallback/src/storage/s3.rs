//! `s3://bucket/prefix`: Amazon S3 and stores that speak its protocol.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::fmt;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt};
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::client::{ClientOptions, HttpError, HttpErrorKind};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, Error, GetOptions, ObjectStore, ObjectStoreExt, PutMode, PutOptions,
    PutPayload, RetryConfig, UpdateVersion,
};

use super::{
    Answer, ErrorKind, LIST_LIMIT, Object, Operation, Storage, StorageError, TimeOuts, Version,
};

/// What an S3 location needs besides its bucket and prefix.
///
/// `Debug` shows the names of the variables, never their values.
#[derive(Clone, Default)]
pub struct S3Settings {
    environment: BTreeMap<String, String>,
}

/// Names another endpoint than Amazon's, addressed by path (`http://host:9000/`); plain `http` is
/// spoken only to an endpoint that is written so.
const ENDPOINT: &str = "AWS_CONFIG_STORAGE_ENDPOINT";

/// Variables that would weaken or redirect what the settings of the gateway say.
const IGNORED: [&str; 9] = [
    "aws_bucket",
    "aws_bucket_name",
    "aws_allow_http",
    "aws_allow_invalid_certificates",
    "aws_conditional_put",
    "aws_skip_signature",
    "aws_timeout",
    "aws_connect_timeout",
    "aws_virtual_hosted_style_request",
];

impl S3Settings {
    /// Takes the `AWS_*` variables of `environment` (usually `std::env::vars()`): access key,
    /// session token, region, web identity, container and instance roles,
    /// `AWS_CONFIG_STORAGE_ENDPOINT`.
    pub fn from_environment(environment: impl IntoIterator<Item = (String, String)>) -> Self {
        Self {
            environment: environment
                .into_iter()
                .filter(|(name, value)| name.starts_with("AWS_") && !value.is_empty())
                .collect(),
        }
    }
}

impl fmt::Debug for S3Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.environment.keys()).finish()
    }
}

#[derive(Debug)]
pub(super) struct S3 {
    store: AmazonS3,
    prefix: Path,
    location: String,
    time_outs: TimeOuts,
}

impl S3 {
    pub(super) fn open(
        bucket: &str,
        prefix: &str,
        settings: &S3Settings,
        time_outs: TimeOuts,
    ) -> Result<Self, StorageError> {
        let location = match prefix {
            "" => format!("s3://{bucket}"),
            prefix => format!("s3://{bucket}/{prefix}"),
        };
        let invalid = |detail: String| StorageError {
            storage: location.clone(),
            operation: Operation::Open,
            key: String::new(),
            kind: ErrorKind::Invalid,
            detail,
        };
        let mut builder = AmazonS3Builder::new();
        for (name, value) in &settings.environment {
            let name = name.to_ascii_lowercase();
            if IGNORED.contains(&name.as_str()) {
                continue;
            }
            if let Ok(key) = name.parse::<AmazonS3ConfigKey>() {
                builder = builder.with_config(key, value);
            }
        }
        let mut plain_http = false;
        if let Some(endpoint) = settings.environment.get(ENDPOINT) {
            let url = url::Url::parse(endpoint)
                .ok()
                .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
                .ok_or_else(|| {
                    invalid(format!(
                        "{ENDPOINT} is not an http:// or https:// URL: write it as https://host:port/"
                    ))
                })?;
            if !url.username().is_empty() || url.password().is_some() {
                return Err(invalid(format!(
                    "{ENDPOINT} must not hold credentials: give them in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
                )));
            }
            plain_http = url.scheme() == "http";
            builder = builder
                .with_config(AmazonS3ConfigKey::S3Endpoint, url.as_str())
                .with_virtual_hosted_style_request(false);
        }
        let client = ClientOptions::new()
            .with_allow_http(plain_http)
            .with_connect_timeout(time_outs.connect)
            .with_timeout(time_outs.operation);
        let store = builder
            .with_bucket_name(bucket)
            .with_client_options(client)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            // Retrying belongs to the callers: they know deadlines, supersede what waits, and
            // read back what a repeated conditional write would answer wrongly.
            .with_retry(RetryConfig {
                max_retries: 0,
                retry_timeout: time_outs.operation,
                ..RetryConfig::default()
            })
            .build()
            .map_err(|error| invalid(error.to_string()))?;
        let prefix = Path::parse(prefix).map_err(|error| invalid(error.to_string()))?;
        Ok(Self {
            store,
            prefix,
            location,
            time_outs,
        })
    }

    fn path(&self, key: &str) -> Path {
        self.prefix
            .parts()
            .chain(key.split('/').map(Into::into))
            .collect()
    }

    /// Bounds an operation as a whole, fetching credentials included, and gives its failure a
    /// meaning.
    async fn run<T>(
        &self,
        operation: Operation,
        key: &str,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, StorageError> {
        let failure = match tokio::time::timeout(self.time_outs.operation, work).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(failure)) => failure,
            Err(_) => Failure {
                kind: ErrorKind::TimedOut,
                detail: format!("after {:?}", self.time_outs.operation),
            },
        };
        Err(StorageError {
            storage: self.location.clone(),
            operation,
            key: key.to_owned(),
            kind: match (operation, failure.kind) {
                // 409 to a replace is a concurrent request, not an answer about the version.
                (Operation::Replace, ErrorKind::AlreadyExists) => ErrorKind::Unavailable,
                (_, kind) => kind,
            },
            detail: failure.detail,
        })
    }

    async fn put(&self, key: &str, bytes: Bytes, mode: PutMode) -> Result<Version, Failure> {
        let attributes = Attributes::from_iter([
            (Attribute::ContentType, "application/json"),
            (Attribute::CacheControl, "no-cache"),
        ]);
        let options = PutOptions {
            mode,
            attributes,
            ..PutOptions::default()
        };
        let result = self
            .store
            .put_opts(&self.path(key), PutPayload::from_bytes(bytes), options)
            .await?;
        version(result.e_tag)
    }
}

impl Storage for S3 {
    fn location(&self) -> &str {
        &self.location
    }

    fn get<'a>(
        &'a self,
        key: &'a str,
        known: Option<&'a Version>,
        limit: u64,
    ) -> Answer<'a, Object> {
        Box::pin(self.run(Operation::Read, key, async move {
            let options = GetOptions {
                if_none_match: known.map(|version| version.0.clone()),
                ..GetOptions::default()
            };
            let result = self.store.get_opts(&self.path(key), options).await?;
            let too_large = || Failure {
                kind: ErrorKind::TooLarge,
                detail: format!("over {limit} bytes"),
            };
            if result.meta.size > limit {
                return Err(too_large());
            }
            let version = version(result.meta.e_tag.clone())?;
            let size = result.meta.size;
            let mut bytes = BytesMut::with_capacity(usize::try_from(size).unwrap_or_default());
            let mut stream = result.into_stream();
            while let Some(chunk) = stream.try_next().await? {
                if (bytes.len() + chunk.len()) as u64 > limit {
                    return Err(too_large());
                }
                bytes.extend_from_slice(&chunk);
            }
            if bytes.len() as u64 != size {
                return Err(Failure {
                    kind: ErrorKind::Unavailable,
                    detail: format!("the answer ended after {} of {size} bytes", bytes.len()),
                });
            }
            Ok(Object {
                bytes: bytes.freeze(),
                version,
            })
        }))
    }

    fn put_if_absent<'a>(&'a self, key: &'a str, bytes: Bytes) -> Answer<'a, Version> {
        Box::pin(self.run(
            Operation::Create,
            key,
            self.put(key, bytes, PutMode::Create),
        ))
    }

    fn put_if_match<'a>(
        &'a self,
        key: &'a str,
        bytes: Bytes,
        expected: &'a Version,
    ) -> Answer<'a, Version> {
        let mode = PutMode::Update(UpdateVersion {
            e_tag: Some(expected.0.clone()),
            version: None,
        });
        Box::pin(self.run(Operation::Replace, key, self.put(key, bytes, mode)))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<String>> {
        Box::pin(self.run(Operation::List, prefix, async move {
            let folder = self.path(prefix);
            let names = self
                .store
                .list(Some(&folder))
                .take(LIST_LIMIT)
                .try_filter_map(|meta| {
                    let name = meta.location.prefix_match(&folder).and_then(|mut rest| {
                        let name = rest.next()?;
                        rest.next().is_none().then(|| name.as_ref().to_owned())
                    });
                    async move { Ok(name) }
                })
                .try_collect()
                .await?;
            Ok(names)
        }))
    }

    fn folders(&self) -> Answer<'_, Vec<String>> {
        Box::pin(self.run(Operation::List, "", async move {
            let prefix = (!self.prefix.as_ref().is_empty()).then_some(&self.prefix);
            let listed = self.store.list_with_delimiter(prefix).await?;
            Ok(listed
                .common_prefixes
                .iter()
                .filter_map(|path| path.filename().map(str::to_owned))
                .collect())
        }))
    }

    fn delete<'a>(&'a self, key: &'a str) -> Answer<'a, ()> {
        Box::pin(self.run(Operation::Delete, key, async move {
            match self.store.delete(&self.path(key)).await {
                Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(error.into()),
            }
        }))
    }
}

fn version(e_tag: Option<String>) -> Result<Version, Failure> {
    e_tag.map(Version).ok_or_else(|| Failure {
        kind: ErrorKind::Unsupported,
        detail: "the storage answered without an ETag".into(),
    })
}

/// A failure before the storage, operation and key are added to it.
struct Failure {
    kind: ErrorKind,
    detail: String,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        let code = element(&text, "Code");
        let kind = match (&error, code) {
            (_, Some("NoSuchBucket")) => ErrorKind::NoContainer,
            (Error::NotFound { .. }, _) => ErrorKind::NotFound,
            (Error::AlreadyExists { .. }, _) => ErrorKind::AlreadyExists,
            (Error::Precondition { .. }, _) => ErrorKind::Precondition,
            (Error::NotModified { .. }, _) => ErrorKind::NotModified,
            (Error::PermissionDenied { .. } | Error::Unauthenticated { .. }, _) => {
                ErrorKind::Denied
            }
            (Error::NotImplemented { .. } | Error::NotSupported { .. }, _) => {
                ErrorKind::Unsupported
            }
            (Error::InvalidPath { .. } | Error::UnknownConfigurationKey { .. }, _) => {
                ErrorKind::Invalid
            }
            _ => transport(&error).unwrap_or_else(|| answered(&text)),
        };
        // The texts of the client hold whole answers of the server; of those only the code and
        // the message are repeated, since some servers echo what was signed.
        let detail = match kind {
            ErrorKind::NotFound
            | ErrorKind::AlreadyExists
            | ErrorKind::Precondition
            | ErrorKind::NotModified => String::new(),
            _ => match (code, element(&text, "Message"), status(&text)) {
                (Some(code), Some(message), _) => format!("{code}: {message}"),
                (Some(code), None, _) => code.to_owned(),
                (None, _, Some(status)) => format!("status {status}"),
                _ => innermost(&error),
            },
        };
        Self { kind, detail }
    }
}

/// The meaning of a failure of the connection.
fn transport(error: &Error) -> Option<ErrorKind> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(http) = error.downcast_ref::<HttpError>() {
            return Some(match http.kind() {
                HttpErrorKind::Timeout => ErrorKind::TimedOut,
                HttpErrorKind::Decode => ErrorKind::Unavailable,
                _ => ErrorKind::Unreachable,
            });
        }
        source = error.source();
    }
    None
}

/// The meaning of an answer that the client has no variant for.
fn answered(text: &str) -> ErrorKind {
    match status(text) {
        Some("429") => ErrorKind::Throttled,
        Some("503") if text.contains("SlowDown") => ErrorKind::Throttled,
        Some("400") if text.contains("Credential") || text.contains("Token") => ErrorKind::Denied,
        Some("501") => ErrorKind::Unsupported,
        _ => ErrorKind::Unavailable,
    }
}

fn status(text: &str) -> Option<&str> {
    text.split_once("status code: ")?.1.get(..3)
}

fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let rest = text.split_once(&format!("<{name}>"))?.1;
    rest.split_once(&format!("</{name}>"))
        .map(|(content, _)| content)
        .filter(|content| !content.is_empty() && content.len() <= 200)
}

fn innermost(error: &Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let mut text = cause.to_string();
    if text.len() > 200 {
        text.truncate(text.floor_char_boundary(200));
    }
    text
}
