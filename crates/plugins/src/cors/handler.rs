//! How `cors` answers preflight requests and marks responses.

use std::sync::Arc;

use crate::HeaderMap;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderName, HeaderValue, ORIGIN,
    VARY,
};
use http::{Method, StatusCode};
use keelgate_entities::kinds;

use super::config::{Config, NAME};
use super::origin::{Origins, Verdict};
use crate::error::Reason;
use crate::registry::Node;
use crate::{Access, Directory, Exchange, Flow, Phases, Plugin, Response, setting};

const REQUEST_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-allow-private-network");
const TRUE: HeaderValue = HeaderValue::from_static("true");
const BY_ORIGIN: HeaderValue = HeaderValue::from_static("Origin");

/// A compiled `cors`.
pub(crate) struct Cors {
    origins: Origins,
    headers: Option<HeaderValue>,
    exposed_headers: Option<HeaderValue>,
    methods: HeaderValue,
    max_age: Option<HeaderValue>,
    credentials: bool,
    private_network: bool,
    preflight_continue: bool,
}

/// Kept for a preflight request, whose response is complete.
struct Preflight;

/// Compiles a configuration.
pub(crate) fn compile(
    _node: &Node,
    plugin: &kinds::Plugin,
    _directory: &Arc<Directory>,
) -> Result<Arc<dyn Plugin>, Reason> {
    let config: Config = setting::decode(&plugin.config)?;
    let max_age = config.max_age.map(setting::number);
    Ok(Arc::new(Cors {
        origins: Origins::new(config.origins.as_deref())?,
        headers: list("headers", config.headers.as_deref())?,
        exposed_headers: list("exposed_headers", config.exposed_headers.as_deref())?,
        methods: setting::header_value("methods", &config.methods())?,
        max_age: max_age
            .map(|age| setting::header_value("max_age", &age))
            .transpose()?,
        credentials: config.credentials,
        private_network: config.private_network,
        preflight_continue: config.preflight_continue,
    }))
}

fn list(field: &str, names: Option<&[String]>) -> Result<Option<HeaderValue>, Reason> {
    match names {
        None | Some([]) => Ok(None),
        Some(names) => setting::header_value(field, &names.join(",")).map(Some),
    }
}

impl Cors {
    /// Tells who may call, and whether with credentials.
    fn mark(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        if self.origins.vary() {
            headers.append(VARY, BY_ORIGIN);
        }
        let any = match self.origins.judge(origin) {
            Verdict::Any => {
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
                true
            }
            Verdict::Origin(origin) => {
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
                false
            }
            Verdict::Nothing => {
                headers.remove(ACCESS_CONTROL_ALLOW_ORIGIN);
                false
            }
        };
        if !self.credentials {
            return;
        }
        if any {
            // Browsers refuse credentials for `*`, so that the origin itself is named.
            let Some(origin) = origin else { return };
            headers.append(VARY, BY_ORIGIN);
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        }
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE);
    }

    fn preflight(&self, request: &HeaderMap) -> Response {
        let mut response = Response::empty(StatusCode::OK);
        let headers = &mut response.headers;
        self.mark(request.get(ORIGIN), headers);
        let allowed = self.headers.as_ref();
        if let Some(allowed) = allowed.or_else(|| request.get(ACCESS_CONTROL_REQUEST_HEADERS)) {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed.clone());
        }
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
        if let Some(max_age) = &self.max_age {
            headers.insert(ACCESS_CONTROL_MAX_AGE, max_age.clone());
        }
        if self.private_network && request.get(REQUEST_PRIVATE_NETWORK) == Some(&TRUE) {
            headers.insert(ALLOW_PRIVATE_NETWORK, TRUE);
        }
        response
    }
}

fn is_preflight(exchange: &Exchange<'_>) -> bool {
    exchange.method == Method::OPTIONS
        && exchange.headers.contains_key(ORIGIN)
        && exchange.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

impl Plugin for Cors {
    fn phases(&self) -> Phases {
        Phases {
            access: true,
            header_filter: true,
            ..Phases::default()
        }
    }

    fn access<'a, 'r: 'a>(&'r self, exchange: &'a mut Exchange<'r>) -> Access<'a> {
        if !is_preflight(exchange) {
            return Access::Ready(Flow::Continue);
        }
        exchange.kept.push((NAME, Box::new(Preflight)));
        Access::Ready(if self.preflight_continue {
            Flow::Continue
        } else {
            Flow::Respond(Box::new(self.preflight(&exchange.headers)))
        })
    }

    fn header_filter<'r>(&'r self, exchange: &mut Exchange<'r>) {
        if exchange.kept.iter().any(|(name, _)| *name == NAME) {
            return;
        }
        let headers = &mut exchange.response.headers;
        self.mark(exchange.headers.get(ORIGIN), headers);
        if let Some(exposed) = &self.exposed_headers {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone());
        }
    }
}
