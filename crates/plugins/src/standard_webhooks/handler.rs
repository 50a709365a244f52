//! How `standard-webhooks` judges a webhook.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::hmac;
use http::StatusCode;
use http::header::{HeaderName, HeaderValue};
use keelgate_entities::kinds;

use super::config::Config;
use crate::error::Reason;
use crate::registry::Node;
use crate::{Access, Directory, Exchange, Flow, Phases, Plugin, Response, base64, setting};

const ID: HeaderName = HeaderName::from_static("webhook-id");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");

/// A compiled `standard-webhooks`.
pub(crate) struct StandardWebhooks {
    secret: hmac::Key,
    tolerance: Duration,
}

/// Compiles a configuration.
pub(crate) fn compile(
    _node: &Node,
    plugin: &kinds::Plugin,
    _directory: &Arc<Directory>,
) -> Result<Arc<dyn Plugin>, Reason> {
    let config: Config = setting::decode(&plugin.config)?;
    if config.secret_v1.is_empty() {
        return Err(Reason::setting("secret_v1", "required, and not empty"));
    }
    Ok(Arc::new(StandardWebhooks {
        secret: hmac::Key::new(hmac::HMAC_SHA256, config.secret_v1.as_bytes()),
        tolerance: Duration::from_secs(config.tolerance_second.into()),
    }))
}

impl StandardWebhooks {
    /// Whether the request is a webhook that the secret signed not long ago.
    fn is_signed(&self, exchange: &Exchange<'_>) -> Option<()> {
        let header = |name| exchange.headers.get(name).map(HeaderValue::as_bytes);
        let (id, signature, timestamp) = (header(ID)?, header(SIGNATURE)?, header(TIMESTAMP)?);
        let signed_at = seconds(timestamp)?;
        // A clock that is ahead of ours does no harm: the webhook is void all the same once its
        // time has passed.
        let age = exchange.times.received_at.duration_since(signed_at);
        if age.is_ok_and(|age| age > self.tolerance) {
            return None;
        }
        let body = exchange.request_body.as_deref()?;
        if body.is_empty() {
            return None;
        }
        let signature = base64::standard(signature.strip_prefix(b"v1,")?)?;
        let signed = [id, b".", timestamp, b".", body].concat();
        hmac::verify(&self.secret, &signed, &signature).ok()
    }
}

/// A time in decimal digits, in seconds since 1970.
fn seconds(text: &[u8]) -> Option<SystemTime> {
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let seconds = std::str::from_utf8(text).ok()?.parse().ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

impl Plugin for StandardWebhooks {
    fn phases(&self) -> Phases {
        Phases {
            access: true,
            request_body: true,
            ..Phases::default()
        }
    }

    fn access<'a, 'r: 'a>(&'r self, exchange: &'a mut Exchange<'r>) -> Access<'a> {
        Access::Ready(match self.is_signed(exchange) {
            Some(()) => Flow::Continue,
            None => {
                let refusal = Response::error(StatusCode::BAD_REQUEST, "Bad request");
                Flow::Respond(Box::new(refusal))
            }
        })
    }
}
