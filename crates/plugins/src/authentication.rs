//! What all authentication plugins do once they know who calls.

use crate::HeaderMap;
use http::StatusCode;
use http::header::{HeaderName, HeaderValue};
use keelgate_entities::kinds::Consumer;

use crate::directory::Identity;
use crate::exchange::Credential;
use crate::{Directory, Exchange, Flow, Response};

const CONSUMER_ID: HeaderName = HeaderName::from_static("x-consumer-id");
const CONSUMER_CUSTOM_ID: HeaderName = HeaderName::from_static("x-consumer-custom-id");
const CONSUMER_USERNAME: HeaderName = HeaderName::from_static("x-consumer-username");
const CREDENTIAL_IDENTIFIER: HeaderName = HeaderName::from_static("x-credential-identifier");
const ANONYMOUS: HeaderName = HeaderName::from_static("x-anonymous-consumer");

/// Lets the request through as this consumer and tells the upstream so. Whatever the client sent in
/// the same headers is overwritten or removed. The header value is `X-Credential-Identifier`.
pub(crate) fn admit<'r>(
    exchange: &mut Exchange<'r>,
    directory: &Directory,
    consumer: &'r Consumer,
    credential: Option<(Credential, Option<HeaderValue>)>,
) {
    let (credential, identifier) = credential.unzip();
    let identity = directory.identity(consumer);
    tell(
        exchange,
        identity,
        credential.is_none(),
        identifier.flatten(),
    );
    exchange.consumer = Some(consumer);
    exchange.credential = credential;
}

/// The same for a credential that belongs to no consumer.
pub(crate) fn admit_without_consumer(
    exchange: &mut Exchange<'_>,
    credential: Credential,
    identifier: Option<HeaderValue>,
) {
    tell(exchange, None, false, identifier);
    exchange.consumer = None;
    exchange.credential = Some(credential);
}

fn tell(
    exchange: &mut Exchange<'_>,
    identity: Option<&Identity>,
    is_anonymous: bool,
    identifier: Option<HeaderValue>,
) {
    let headers = &mut exchange.headers;
    set(headers, CONSUMER_ID, identity.map(|i| i.id.clone()));
    set(
        headers,
        CONSUMER_CUSTOM_ID,
        identity.and_then(|i| i.custom_id.clone()),
    );
    set(
        headers,
        CONSUMER_USERNAME,
        identity.and_then(|i| i.username.clone()),
    );
    let anonymous = is_anonymous.then_some(HeaderValue::from_static("true"));
    set(headers, ANONYMOUS, anonymous);
    set(headers, CREDENTIAL_IDENTIFIER, identifier);
}

/// Lets the request through as `config.anonymous`.
///
/// An unknown anonymous consumer is an error of the gateway's configuration: 500, and only when it
/// is needed.
pub(crate) fn admit_anonymous<'r>(
    exchange: &mut Exchange<'r>,
    directory: &'r Directory,
    anonymous: &str,
) -> Flow {
    match directory.consumer(anonymous) {
        Some(consumer) => {
            admit(exchange, directory, consumer, None);
            Flow::Continue
        }
        None => {
            tracing::error!(anonymous, "the anonymous consumer of a plugin is unknown");
            Flow::Respond(Box::new(Response::error(
                StatusCode::INTERNAL_SERVER_ERROR,
                "An unexpected error occurred",
            )))
        }
    }
}

/// What `WWW-Authenticate` says: the scheme, and the realm if there is one.
pub(crate) fn challenge(scheme: &str, realm: Option<&str>) -> String {
    match realm {
        Some(realm) => format!("{scheme} realm=\"{realm}\""),
        None => scheme.to_owned(),
    }
}

/// Judges a request. Without an anonymous consumer it must authenticate, whatever other plugins
/// found out; with one, several authentication plugins are alternatives.
pub(crate) fn judge<'r, E>(
    exchange: &mut Exchange<'r>,
    directory: &'r Directory,
    anonymous: Option<&str>,
    authenticate: impl FnOnce(&mut Exchange<'r>) -> Result<(), E>,
    refuse: impl FnOnce(E) -> Response,
) -> Flow {
    if anonymous.is_some() && exchange.credential.is_some() {
        return Flow::Continue;
    }
    match (authenticate(exchange), anonymous) {
        (Ok(()), _) => Flow::Continue,
        (Err(_), Some(anonymous)) => admit_anonymous(exchange, directory, anonymous),
        (Err(error), None) => Flow::Respond(Box::new(refuse(error))),
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: Option<HeaderValue>) {
    match value {
        Some(value) => {
            headers.insert(name, value);
        }
        None => {
            headers.remove(name);
        }
    }
}
