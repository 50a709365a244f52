//! An HTTP server that batches are sent to.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ::base64::Engine;
use ::base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use http::{HeaderName, Method};
use rustls::ClientConfig;
use url::Url;

use crate::error::Reason;
use crate::names::Names;
use crate::registry::Node;
use crate::setting;

/// How long requests may take, and connections live.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Until there is a connection, at most; bounded by `total`, too.
    pub(crate) connect: Duration,
    /// For a whole request, at most.
    pub(crate) total: Duration,
    /// For which an idle connection is kept.
    pub(crate) keepalive: Duration,
}

/// An HTTP server, and how to ask it.
pub(crate) struct Endpoint {
    method: Method,
    /// Without a name or password.
    url: Url,
    headers: HeaderMap,
    limits: Limits,
    tls: Arc<ClientConfig>,
    names: Names,
    /// Made with the first request, so that configurations that are only looked at cost nothing.
    client: OnceLock<Result<reqwest::Client, String>>,
}

impl Endpoint {
    /// The server at the URL that a setting holds. A name and password in it become a header.
    pub(crate) fn new(
        field: &str,
        url: &str,
        method: Method,
        limits: Limits,
        node: &Node,
    ) -> Result<Self, Reason> {
        let refused = |problem: &dyn std::fmt::Display| Reason::setting(field, problem);
        let mut headers = HeaderMap::new();
        if let Some(login) = user_info(url) {
            let login = format!("Basic {}", BASE64_STANDARD.encode(login));
            let mut login = setting::header_value(field, &login)?;
            login.set_sensitive(true);
            headers.insert(AUTHORIZATION, login);
        }
        let mut url = Url::parse(url).map_err(|error| refused(&error))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refused(&"it must begin with http:// or https://"));
        }
        let bare = url.set_username("").and_then(|()| url.set_password(None));
        bare.map_err(|()| refused(&"it has no host"))?;
        Ok(Self {
            method,
            url,
            headers,
            limits,
            tls: node.trust.client(true),
            names: node.names.clone(),
            client: OnceLock::new(),
        })
    }

    /// Sends a header with every request, unless it is told already.
    pub(crate) fn header(&mut self, name: HeaderName, value: HeaderValue) {
        self.headers.entry(name).or_insert(value);
    }

    /// Sends a body. The error says what went wrong, without secrets.
    pub(crate) async fn send(&self, body: impl Into<Bytes>) -> Result<(), String> {
        let client = self.client.get_or_init(|| self.connector());
        let request = client
            .as_ref()
            .map_err(String::clone)?
            .request(self.method.clone(), self.url.clone())
            .headers(self.headers.clone())
            .body(body.into());
        let told = |error: reqwest::Error| told(&error.without_url());
        let response = request.send().await.map_err(told)?;
        let status = response.status();
        if status.as_u16() < 300 {
            // Reading the rest frees the connection for the next batch; it is bounded by time.
            drop(response.bytes().await);
            return Ok(());
        }
        Err(format!("{} answered {status}", self.host()))
    }

    fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    fn connector(&self) -> Result<reqwest::Client, String> {
        reqwest::Client::builder()
            .tls_backend_preconfigured((*self.tls).clone())
            .dns_resolver(Arc::new(self.names.clone()))
            .connect_timeout(self.limits.connect)
            .timeout(self.limits.total)
            .pool_idle_timeout(self.limits.keepalive)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| told(&error))
    }
}

/// What stands before the host of a URL, as it is written.
pub(crate) fn user_info(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (info, _) = authority.rsplit_once('@')?;
    (!info.is_empty()).then_some(info)
}

/// An error with what caused it; the cause is what tells something.
pub(crate) fn told(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_found_in_a_url() {
        assert_eq!(user_info("http://a%20b:c@h.test/x@y"), Some("a%20b:c"));
        assert_eq!(user_info("http://h.test/x@y"), None);
        assert_eq!(user_info("http://@h.test"), None);
        assert_eq!(user_info("h.test"), None);
    }
}
