//! How `redirect` answers.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use http::header::{HeaderValue, LOCATION};
use keelgate_entities::kinds;
use url::Url;

use super::config::Config;
use crate::error::Reason;
use crate::registry::Node;
use crate::response::Body;
use crate::{Access, Directory, Exchange, Flow, Phases, Plugin, Response, setting};

/// A compiled `redirect`.
pub(crate) struct Redirect {
    status: StatusCode,
    target: Target,
}

enum Target {
    /// Always the same place.
    Fixed(HeaderValue),
    /// The same path and query at this place.
    Elsewhere(Url),
}

/// Compiles a configuration.
pub(crate) fn compile(
    _node: &Node,
    plugin: &kinds::Plugin,
    _directory: &Arc<Directory>,
) -> Result<Arc<dyn Plugin>, Reason> {
    let config: Config = setting::decode(&plugin.config)?;
    let target = if config.keep_incoming_path {
        let url = Url::parse(&config.location);
        Target::Elsewhere(url.map_err(|error| Reason::setting("location", error))?)
    } else {
        Target::Fixed(setting::header_value("location", &config.location)?)
    };
    Ok(Arc::new(Redirect {
        status: setting::status("status_code", config.status_code)?,
        target,
    }))
}

impl Target {
    fn header(&self, exchange: &Exchange<'_>) -> HeaderValue {
        match self {
            Self::Fixed(location) => location.clone(),
            Self::Elsewhere(url) => {
                let mut url = url.clone();
                url.set_path(&exchange.path());
                url.set_query(exchange.query.as_deref().filter(|query| !query.is_empty()));
                HeaderValue::try_from(url.as_str()).expect("URLs are written in ASCII")
            }
        }
    }
}

impl Plugin for Redirect {
    fn phases(&self) -> Phases {
        Phases {
            access: true,
            ..Phases::default()
        }
    }

    fn access<'a, 'r: 'a>(&'r self, exchange: &'a mut Exchange<'r>) -> Access<'a> {
        let body = Body::Bytes(Bytes::from_static(b"redirecting"));
        let mut response = Response::new(self.status, body);
        response
            .headers
            .insert(LOCATION, self.target.header(exchange));
        Access::Ready(Flow::Respond(Box::new(response)))
    }
}
