//! `https://host/path`: a web server (a CDN, a mirror), which is only read.

use std::time::SystemTime;

use bytes::Bytes;
use keelgate_snapshot::Digest;
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Response, StatusCode, Url};

use super::object::retry_after;
use super::place::{Failure, Place};
use super::{
    Answer, ErrorKind, Listed, Object, Operation, Storage, StorageError, StorageSettings, Version,
    web,
};
use crate::Location;

/// How versions begin that a web server gave no entity tag for.
const MODIFIED: &str = "modified ";
const DIGEST: &str = "digest ";

/// A folder of a web server.
#[derive(Debug)]
pub(super) struct Https {
    place: Place,
    client: Client,
    base: String,
}

impl Https {
    pub(super) fn open(
        location: &Location,
        url: &Url,
        settings: &StorageSettings,
    ) -> Result<Self, StorageError> {
        let place = Place {
            location: location.to_string(),
            time_out: settings.time_outs.operation,
            mend,
        };
        let mut headers = HeaderMap::new();
        // What a proxy or a server packs on its way could not be bounded in size.
        headers.insert(
            header::ACCEPT_ENCODING,
            HeaderValue::from_static("identity"),
        );
        for header in &settings.https_headers {
            let wrong = || {
                place.invalid(format_args!(
                    "the header `{}` cannot be sent: check cluster_fallback_config_https_header",
                    header.name.escape_default()
                ))
            };
            let name = HeaderName::try_from(&header.name).map_err(|_| wrong())?;
            let mut value = HeaderValue::try_from(&header.value).map_err(|_| wrong())?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let client = web::client(&place, settings)?.default_headers(headers);
        Ok(Self {
            client: client
                .https_only(true)
                .build()
                .map_err(|error| place.invalid(error))?,
            base: url.as_str().trim_end_matches('/').to_owned(),
            place,
        })
    }

    async fn read(
        &self,
        key: &str,
        known: Option<&Version>,
        limit: u64,
    ) -> Result<Object, Failure> {
        let mut request = self.client.get(format!("{}/{key}", self.base));
        if let Some(Version(known)) = known {
            request = match known.strip_prefix(MODIFIED) {
                Some(time) => request.header(header::IF_MODIFIED_SINCE, time),
                None if known.starts_with(DIGEST) => request,
                None => request.header(header::IF_NONE_MATCH, known),
            };
        }
        let response = request.send().await.map_err(broken)?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED if known.is_some() => {
                return Err(Failure::bare(ErrorKind::NotModified));
            }
            _ => return Err(refused(&response)),
        }
        if let Some(encoding) = response.headers().get(header::CONTENT_ENCODING)
            && encoding != "identity"
        {
            return Err(Failure::new(
                ErrorKind::Unsupported,
                "the server packs the object although nothing asked for it (Content-Encoding)",
            ));
        }
        let told = told_version(&response);
        if told.is_some() && told.as_ref() == known {
            // The server knows no conditions.
            return Err(Failure::bare(ErrorKind::NotModified));
        }
        let bytes = web::body(response, limit).await.map_err(broken)?;
        let bytes = bytes.ok_or_else(|| Failure::too_large(limit))?;
        let version = told.unwrap_or_else(|| Version(format!("{DIGEST}{}", Digest::of(&bytes))));
        if known == Some(&version) {
            return Err(Failure::bare(ErrorKind::NotModified));
        }
        Ok(Object { bytes, version })
    }

    fn unsupported<'a, T: Send + 'a>(&'a self, operation: Operation, key: &str) -> Answer<'a, T> {
        let failure = Failure::new(ErrorKind::Unsupported, "https:// storages are only read");
        let error = self.place.error(operation, key, failure);
        Box::pin(std::future::ready(Err(error)))
    }
}

impl Storage for Https {
    fn location(&self) -> &str {
        &self.place.location
    }

    fn writable(&self) -> bool {
        false
    }

    fn get<'a>(
        &'a self,
        key: &'a str,
        known: Option<&'a Version>,
        limit: u64,
    ) -> Answer<'a, Object> {
        let work = self.read(key, known, limit);
        Box::pin(self.place.run(Operation::Read, key, work))
    }

    fn put<'a>(&'a self, key: &'a str, _: Bytes) -> Answer<'a, Version> {
        self.unsupported(Operation::Write, key)
    }

    fn put_if_absent<'a>(&'a self, key: &'a str, _: Bytes) -> Answer<'a, Version> {
        self.unsupported(Operation::Create, key)
    }

    fn put_if_match<'a>(&'a self, key: &'a str, _: Bytes, _: &'a Version) -> Answer<'a, Version> {
        self.unsupported(Operation::Replace, key)
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<Listed>> {
        self.unsupported(Operation::List, prefix)
    }

    fn folders(&self) -> Answer<'_, Vec<String>> {
        self.unsupported(Operation::List, "")
    }

    fn delete<'a>(&'a self, key: &'a str) -> Answer<'a, ()> {
        self.unsupported(Operation::Delete, key)
    }
}

/// What the server calls the state that it sends.
fn told_version(response: &Response) -> Option<Version> {
    let text = |name| response.headers().get(name)?.to_str().ok();
    let e_tag = text(header::ETAG).filter(|tag| tag.ends_with('"'));
    let e_tag = e_tag.map(str::to_owned);
    let modified = || text(header::LAST_MODIFIED).map(|time| format!("{MODIFIED}{time}"));
    e_tag.or_else(modified).map(Version)
}

fn broken(error: reqwest::Error) -> Failure {
    let (kind, cause) = web::meaning(error);
    Failure::new(kind, cause)
}

/// The meaning of an answer that is no object.
fn refused(response: &Response) -> Failure {
    let status = response.status();
    let asked = response
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|value| retry_after(value.to_str().ok()?, SystemTime::now()));
    let kind = match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => ErrorKind::NotFound,
        StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::PROXY_AUTHENTICATION_REQUIRED => ErrorKind::Denied,
        StatusCode::TOO_MANY_REQUESTS => ErrorKind::Throttled,
        StatusCode::SERVICE_UNAVAILABLE if asked.is_some() => ErrorKind::Throttled,
        StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => ErrorKind::TimedOut,
        // Not asked for: there was no condition.
        StatusCode::NOT_MODIFIED => ErrorKind::Unavailable,
        status if status.is_redirection() => ErrorKind::Invalid,
        _ => ErrorKind::Unavailable,
    };
    let detail = match kind {
        ErrorKind::NotFound => String::new(),
        ErrorKind::Invalid => format!(
            "status {}: the server names another address{}; redirects are not followed",
            status.as_u16(),
            redirected(response)
        ),
        _ => format!("status {}", status.as_u16()),
    };
    Failure {
        retry_after: asked,
        ..Failure::new(kind, detail)
    }
}

/// The host of a redirect; the rest of its URL may hold a signature.
fn redirected(response: &Response) -> String {
    let location = response.headers().get(header::LOCATION);
    location
        .and_then(|location| response.url().join(location.to_str().ok()?).ok())
        .and_then(|url| Some(format!(" on {}", url.host_str()?)))
        .unwrap_or_default()
}

fn mend(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::Denied => Some(
            "check cluster_fallback_config_https_header, and that the server lets this node read",
        ),
        ErrorKind::Unreachable => Some(
            "check the network, the name of the host, and that its certificate is of an authority that is trusted (lua_ssl_trusted_certificate)",
        ),
        ErrorKind::Unsupported => Some(
            "name the storage that lies behind this address where it must be written or listed",
        ),
        ErrorKind::Invalid => Some("correct cluster_fallback_config_storage"),
        kind => kind.mend(),
    }
}
