//! How `request-size-limiting` judges a request.

use std::sync::Arc;

use crate::HeaderMap;
use http::header::{CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING};
use http::{StatusCode, Version};
use keelgate_entities::kinds;

use super::config::Config;
use crate::error::Reason;
use crate::registry::Node;
use crate::{Access, Directory, Exchange, Flow, Phases, Plugin, Response, setting};

/// A compiled `request-size-limiting`.
pub(crate) struct RequestSizeLimiting {
    /// Bytes.
    limit: u64,
    require_content_length: bool,
}

/// Compiles a configuration.
pub(crate) fn compile(
    _node: &Node,
    plugin: &kinds::Plugin,
    _directory: &Arc<Directory>,
) -> Result<Arc<dyn Plugin>, Reason> {
    let config: Config = setting::decode(&plugin.config)?;
    Ok(Arc::new(RequestSizeLimiting {
        limit: config.limit(),
        require_content_length: config.require_content_length,
    }))
}

/// The size that the request tells beforehand.
fn told_size(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()
}

fn is(headers: &HeaderMap, name: http::HeaderName, value: &str) -> bool {
    let found = headers.get(name).and_then(|found| found.to_str().ok());
    found.is_some_and(|found| found.trim().eq_ignore_ascii_case(value))
}

fn refuse(status: StatusCode, message: &str) -> Flow {
    Flow::Respond(Box::new(Response::error(status, message)))
}

impl RequestSizeLimiting {
    fn judge(&self, exchange: &Exchange<'_>) -> Flow {
        let headers = &exchange.headers;
        let told = told_size(headers);
        if told.is_none()
            && self.require_content_length
            && !is(headers, TRANSFER_ENCODING, "chunked")
        {
            let message = "A valid Content-Length header is required";
            return refuse(StatusCode::LENGTH_REQUIRED, message);
        }
        let read = || {
            exchange
                .request_body
                .as_ref()
                .map_or(0, |body| body.len() as u64)
        };
        if told.unwrap_or_else(read) <= self.limit {
            return Flow::Continue;
        }
        let status = if is(headers, EXPECT, "100-continue") {
            StatusCode::EXPECTATION_FAILED
        } else {
            StatusCode::PAYLOAD_TOO_LARGE
        };
        refuse(status, "Request size limit exceeded")
    }
}

impl Plugin for RequestSizeLimiting {
    fn phases(&self) -> Phases {
        Phases {
            access: true,
            request_body: true,
            ..Phases::default()
        }
    }

    /// A body whose size is known need not be read. HTTP/2 tells nothing of a body without size.
    fn wants_request_body(&self, exchange: &Exchange<'_>) -> bool {
        told_size(&exchange.headers).is_none()
            && (exchange.version == Version::HTTP_2
                || exchange.headers.contains_key(TRANSFER_ENCODING))
    }

    fn access<'a, 'r: 'a>(&'r self, exchange: &'a mut Exchange<'r>) -> Access<'a> {
        Access::Ready(self.judge(exchange))
    }
}
