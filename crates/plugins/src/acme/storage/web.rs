//! HTTP towards servers of storages.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Method;
use http::header::{HeaderMap, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustls::ClientConfig;
use url::Url;

use crate::logging::endpoint::told;
use crate::names::Names;

/// The longest answer, in bytes: a chain of certificates is some 10 KiB, a name in a list less than 300 bytes.
const MAX_BODY: usize = 16 * 1024 * 1024;

/// How much of a refusal is told, in bytes.
const TOLD: usize = 200;

/// What stands for itself in a part of a path.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b':');

/// Where a server is.
pub(crate) struct Place<'a> {
    /// Whether TLS is spoken.
    pub(crate) https: bool,
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    /// What it is called in TLS and in the header `Host`, where that is not the host.
    pub(crate) called: Option<&'a str>,
    pub(crate) tls: Arc<ClientConfig>,
    pub(crate) names: &'a Names,
    /// For one question.
    pub(crate) timeout: Duration,
}

/// A server that keeps things, and how it is asked.
#[derive(Clone)]
pub(crate) struct Web {
    client: reqwest::Client,
    root: Url,
}

/// What a server answers.
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

/// Why a server is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WebError {
    #[error("the server of the storage cannot be asked: {0}")]
    Unreached(String),
    #[error("the server of the storage answers too much")]
    TooLong,
    #[error("the server of the storage answers {0}: {1}")]
    Refused(u16, String),
    #[error("the server of the storage answers what cannot be read: {0}")]
    Unread(#[from] serde_json::Error),
}

/// Answers with the addresses of one host, whatever the name.
struct Instead {
    host: String,
    names: Names,
}

impl Resolve for Instead {
    fn resolve(&self, _: Name) -> Resolving {
        let (host, names) = (self.host.clone(), self.names.clone());
        Box::pin(async move {
            let found = names.addresses(&host, 0).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

impl Web {
    /// # Errors
    /// Which setting cannot be, and why.
    pub(crate) fn new(place: &Place<'_>) -> Result<Self, String> {
        let scheme = if place.https { "https" } else { "http" };
        let called = place.called.unwrap_or(place.host);
        let bracketed = format!("[{called}]");
        let is_v6 = called.contains(':') && !called.starts_with('[');
        let called = if is_v6 { &bracketed } else { called };
        let root = format!("{scheme}://{called}:{}/", place.port);
        let root = Url::parse(&root).map_err(|problem| problem.to_string())?;
        let names: Arc<dyn Resolve> = match place.called {
            Some(_) => Arc::new(Instead {
                host: place.host.to_owned(),
                names: place.names.clone(),
            }),
            None => Arc::new(place.names.clone()),
        };
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured((*place.tls).clone())
            .dns_resolver(names)
            .timeout(place.timeout)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build();
        let client = client.map_err(|problem| told(&problem))?;
        Ok(Self { client, root })
    }

    /// Asks for a path without its first slash, and with its query. An answer that something is absent is one; other
    /// refusals are errors.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: impl Into<reqwest::Body>,
    ) -> Result<Answered, WebError> {
        let unreached = |problem: reqwest::Error| WebError::Unreached(told(&problem));
        let url = format!("{}{path}", self.root);
        let asked = self.client.request(method, url).headers(headers).body(body);
        let mut answer = asked.send().await.map_err(unreached)?;
        let mut body = BytesMut::new();
        while let Some(piece) = answer.chunk().await.map_err(unreached)? {
            if body.len() + piece.len() > MAX_BODY {
                return Err(WebError::TooLong);
            }
            body.extend_from_slice(&piece);
        }
        let status = answer.status();
        if !status.is_success() && status.as_u16() != 404 {
            let told = String::from_utf8_lossy(&body[..body.len().min(TOLD)]);
            return Err(WebError::Refused(status.as_u16(), told.trim().to_owned()));
        }
        Ok(Answered {
            status: status.as_u16(),
            body: body.freeze(),
        })
    }
}

impl fmt::Debug for Web {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Web").field(&self.root.as_str()).finish()
    }
}

/// A text as a part of a path.
pub(crate) fn part(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

/// The parts of a path below others, each of which ends with a slash.
pub(crate) fn below(path: &str) -> String {
    let parts = path.split('/').filter(|part| !part.is_empty());
    parts.map(|text| part(text) + "/").collect()
}

/// A secret as the value of a header.
///
/// # Errors
/// Why it cannot be one.
pub(crate) fn secret(text: &str) -> Result<HeaderValue, String> {
    let value = HeaderValue::from_str(text);
    let mut value = value.map_err(|_| "not the value of a header".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_paths_break_out_of_none() {
        assert_eq!(part("tok/en#http-01?a=%b"), "tok%2Fen%23http-01%3Fa%3D%25b");
        assert_eq!(
            part("kong_acme:cert_key:a.test"),
            "kong_acme:cert_key:a.test"
        );
        assert_eq!(below("/a//b c"), "a/b%20c/");
    }
}
