//! How `azure-functions` calls functions.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::HeaderName;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, TE, TRANSFER_ENCODING, UPGRADE};
use keelgate_entities::kinds;
use url::Url;

use super::config::{Config, NAME};
use crate::error::Reason;
use crate::function::answer;
use crate::function::client::{Client, Terms};
use crate::registry::Node;
use crate::{Access, Directory, Exchange, Phases, Plugin, Response, function, setting};

/// Headers that belong to the connection from the client, or that the call has its own of.
const NOT_PASSED_ON: [HeaderName; 10] = [
    HOST,
    CONNECTION,
    CONTENT_LENGTH,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    KEY,
    CLIENT,
];

const KEY: HeaderName = HeaderName::from_static("x-functions-key");
const CLIENT: HeaderName = HeaderName::from_static("x-functions-clientid");

/// A compiled `azure-functions`.
pub(crate) struct AzureFunctions {
    client: Arc<Client>,
    /// Without a query.
    url: Url,
    /// Who calls.
    own: HeaderMap,
}

/// Compiles a configuration.
pub(crate) fn compile(
    node: &Node,
    plugin: &kinds::Plugin,
    _directory: &Arc<Directory>,
) -> Result<Arc<dyn Plugin>, Reason> {
    let config: Config = setting::decode(&plugin.config)?;
    let milliseconds =
        |field, value: Option<f64>, default| setting::milliseconds(field, value.unwrap_or(default));
    let terms = Terms {
        timeout: milliseconds("timeout", config.timeout, 600_000.0)?,
        keepalive: milliseconds("keepalive", config.keepalive, 60_000.0)?,
        verify: config.https_verify == Some(true),
        proxy: None,
    };
    let mut own = HeaderMap::new();
    for (field, name, value) in [
        ("apikey", KEY, &config.apikey),
        ("clientid", CLIENT, &config.clientid),
    ] {
        if let Some(value) = value {
            let mut value = setting::header_value(field, value)?;
            value.set_sensitive(true);
            own.insert(name, value);
        }
    }
    let url = url(&config)?;
    if config.https != Some(false) && !terms.verify {
        let host = url.host_str();
        tracing::warn!(
            host,
            "the key of a function goes to a host that is not verified; set https_verify"
        );
    }
    Ok(Arc::new(AzureFunctions {
        client: node.functions.client(terms, node),
        url,
        own,
    }))
}

fn url(config: &Config) -> Result<Url, Reason> {
    let needed = |field, value: &Option<String>| {
        value
            .clone()
            .ok_or_else(|| Reason::setting(field, "required, and not set"))
    };
    let app = needed("appname", &config.appname)?;
    let function = needed("functionname", &config.functionname)?;
    let prefix = config.routeprefix.as_deref().unwrap_or_default();
    let (prefix, function) = (prefix.trim_matches('/'), function.trim_matches('/'));
    let path = match prefix {
        "" => format!("/{function}"),
        prefix => format!("/{prefix}/{function}"),
    };
    let scheme = match config.https {
        Some(false) => "http",
        _ => "https",
    };
    let url = format!("{scheme}://{app}.{}{path}", config.hostdomain);
    Url::parse(&url).map_err(|problem| Reason::setting("appname", problem))
}

impl AzureFunctions {
    async fn call(&self, exchange: &mut Exchange<'_>) -> Result<Response, String> {
        let mut url = self.url.clone();
        url.set_query(exchange.query.as_deref());
        let mut headers = HeaderMap::new();
        for (name, value) in exchange.headers.iter() {
            if !NOT_PASSED_ON.contains(name) {
                headers.append(name.clone(), value.clone());
            }
        }
        headers.extend(self.own.clone());
        let body: Bytes = exchange.request_body.clone().unwrap_or_default();
        let method = exchange.method.clone();
        let asked = self.client.ask(|pool| {
            let request = pool.request(method, url).headers(headers);
            // A body of no length is none.
            if body.is_empty() {
                request
            } else {
                request.body(body)
            }
        });
        Ok(answer::response(asked.await?))
    }
}

impl Plugin for AzureFunctions {
    fn phases(&self) -> Phases {
        Phases {
            access: true,
            request_body: true,
            ..Phases::default()
        }
    }

    fn access<'a, 'r: 'a>(&'r self, exchange: &'a mut Exchange<'r>) -> Access<'a> {
        Access::Pending(Box::pin(async move {
            let began = Instant::now();
            let called = self.call(exchange).await;
            function::end(exchange, NAME, began, called)
        }))
    }
}
