//! HTTP towards functions.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use reqwest::RequestBuilder;
use rustls::ClientConfig;
use thread_local::ThreadLocal;
use url::Url;

use crate::logging::endpoint::told;
use crate::names::Names;
use crate::registry::Node;

/// The longest body that a function may answer with, in bytes. The clouds allow less.
const MAX_BODY: usize = 32 * 1024 * 1024;

/// What clients must have in common to share connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    /// To connect in, and the longest silence of the function.
    pub(crate) timeout: Duration,
    /// For which an idle connection is kept.
    pub(crate) keepalive: Duration,
    /// Whether the certificate of the function's host is verified.
    pub(crate) verify: bool,
    /// The proxy that connections go through.
    pub(crate) proxy: Option<Url>,
}

/// The clients of a node; configurations that ask in the same way share one.
#[derive(Debug, Default)]
pub(crate) struct Clients(Mutex<Vec<Weak<Client>>>);

/// Asks functions.
pub(crate) struct Client {
    terms: Terms,
    tls: Arc<ClientConfig>,
    names: Names,
    /// A pool for each thread that serves requests: no thread waits for another.
    pools: ThreadLocal<reqwest::Client>,
}

/// What a function says.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Bytes,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&self.terms).finish()
    }
}

impl Clients {
    /// The client with these terms.
    pub(crate) fn client(&self, terms: Terms, node: &Node) -> Arc<Client> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|client| client.strong_count() > 0);
        let mut clients = known.iter().filter_map(Weak::upgrade);
        if let Some(client) = clients.find(|client| client.terms == terms) {
            return client;
        }
        let client = Arc::new(Client {
            tls: node.trust.client(terms.verify),
            names: node.names.clone(),
            terms,
            pools: ThreadLocal::new(),
        });
        known.push(Arc::downgrade(&client));
        client
    }
}

impl Client {
    /// Asks; `request` is made with the pool that it is given. The error says what went wrong,
    /// without secrets.
    pub(crate) async fn ask(
        &self,
        request: impl FnOnce(&reqwest::Client) -> RequestBuilder,
    ) -> Result<Answer, String> {
        let said = |error: reqwest::Error| told(&error.without_url());
        let pool = self.pools.get_or_try(|| self.pool()).map_err(said)?;
        let mut response = request(pool).send().await.map_err(said)?;
        let status = response.status();
        let headers = std::mem::take(response.headers_mut());
        let mut body = BytesMut::new();
        while let Some(piece) = response.chunk().await.map_err(said)? {
            if body.len() + piece.len() > MAX_BODY {
                return Err(format!("it answers more than {MAX_BODY} bytes"));
            }
            body.extend_from_slice(&piece);
        }
        Ok(Answer {
            status,
            headers,
            body: body.freeze(),
        })
    }

    fn pool(&self) -> Result<reqwest::Client, reqwest::Error> {
        let terms = &self.terms;
        let builder = reqwest::Client::builder()
            .tls_backend_preconfigured((*self.tls).clone())
            .dns_resolver(Arc::new(self.names.clone()))
            .connect_timeout(terms.timeout)
            .read_timeout(terms.timeout)
            .pool_idle_timeout(terms.keepalive)
            .redirect(reqwest::redirect::Policy::none());
        match &terms.proxy {
            Some(proxy) => builder.proxy(reqwest::Proxy::all(proxy.clone())?),
            None => builder.no_proxy(),
        }
        .build()
    }
}
