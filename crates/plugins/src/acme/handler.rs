//! How `acme` serves certificates, and answers challenges.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use keelgate_entities::kinds::{self, Protocol};
use rustls::sign::CertifiedKey;

use super::chains::Chains;
use super::chosen;
use super::config::Config;
use super::domains::Domains;
use super::issuer::{ABSENT, CHALLENGES, Issuer, PROBE, Settings};
use super::order::{Customer, KeyKind, challenge_key};
use crate::error::Reason;
use crate::logging::delivery::Delivery;
use crate::registry::Node;
use crate::response::Body;
use crate::{Access, Directory, Exchange, Flow, Phases, Plugin, Response};

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=UTF-8");

/// A compiled `acme`.
pub(crate) struct AcmePlugin {
    issuer: Arc<Issuer>,
    delivery: Arc<Delivery>,
}

/// Compiles a configuration.
pub(crate) fn compile(
    node: &Node,
    plugin: &kinds::Plugin,
    _directory: &Arc<Directory>,
) -> Result<Arc<dyn Plugin>, Reason> {
    let config: Config = crate::setting::decode(&plugin.config)?;
    let storage = chosen::storage(node, &config)?;
    if config.account_key.is_some() {
        let problem = "keys of key sets are not used for accounts by this build; leave it out";
        return Err(Reason::setting("account_key", problem));
    }
    let settings = Settings {
        domains: Domains::new(&config),
        customer: customer(&config)?,
        kind: kind(&config)?,
        storage,
        served: Arc::clone(&node.acme.served),
        tls: node.trust.client(true),
        names: node.names.clone(),
        chains: config
            .preferred_chain
            .clone()
            .map(|wanted| Arc::new(Chains::new(wanted))),
        threshold_days: config.renew_threshold_days.unwrap_or(14.0),
        pause_minutes: config.fail_backoff_minutes.unwrap_or(5.0),
    };
    let issuer =
        Issuer::new(settings).map_err(|(field, problem)| Reason::setting(field, problem))?;
    node.acme.add(&issuer);
    issuer.look_after(&node.delivery);
    Ok(Arc::new(AcmePlugin {
        issuer,
        delivery: Arc::clone(&node.delivery),
    }))
}

fn customer(config: &Config) -> Result<Customer, Reason> {
    let uri = config.api_uri.as_deref().unwrap_or_default();
    let directory = match uri.trim_end_matches('/') {
        uri if uri.ends_with("/directory") || uri.ends_with("/dir") => uri.to_owned(),
        uri => format!("{uri}/directory"),
    };
    let bound_to = match (&config.eab_kid, &config.eab_hmac_key) {
        (Some(id), Some(key)) => {
            let key = crate::base64::url_safe(key.as_bytes())
                .ok_or_else(|| Reason::setting("eab_hmac_key", "not base64 for URLs"))?;
            Some((id.clone(), key))
        }
        (None, None) => None,
        _ => {
            let problem = "eab_kid and eab_hmac_key belong together; set both, or none";
            return Err(Reason::setting("eab_kid", problem));
        }
    };
    let email = BASE64_STANDARD.encode(&config.account_email);
    Ok(Customer {
        email: config.account_email.clone(),
        accepts_terms: config.tos_accepted == Some(true),
        bound_to,
        // Kong keeps keys of another kind under names of its own.
        stored_as: format!("keelgate_acme:account:{directory}:{email}"),
        directory,
    })
}

fn kind(config: &Config) -> Result<KeyKind, Reason> {
    if config.cert_type.as_deref() == Some("ecc") {
        return Ok(KeyKind::Ecdsa);
    }
    match config.rsa_key_size.unwrap_or(4096.0) as u32 {
        2048 => Ok(KeyKind::Rsa2048),
        3072 => Ok(KeyKind::Rsa3072),
        4096 => Ok(KeyKind::Rsa4096),
        _ => Err(Reason::setting("rsa_key_size", "use 2048, 3072 or 4096")),
    }
}

impl AcmePlugin {
    /// The answer to a challenge.
    async fn answer(&self, token: &str) -> Response {
        if token == PROBE {
            return text(StatusCode::NOT_FOUND, ABSENT);
        }
        match self.issuer.storage.get(&challenge_key(token)).await {
            Ok(Some(answer)) => text(StatusCode::OK, answer),
            Ok(None) => Response::new(StatusCode::NOT_FOUND, Body::ErrorPage),
            Err(problem) => {
                tracing::error!("a challenge of acme cannot be answered: {problem}");
                Response::new(StatusCode::INTERNAL_SERVER_ERROR, Body::ErrorPage)
            }
        }
    }
}

fn text(status: StatusCode, text: impl Into<Bytes>) -> Response {
    let mut response = Response::new(status, Body::Bytes(text.into()));
    response.headers.insert(CONTENT_TYPE, TEXT);
    response
}

impl Plugin for AcmePlugin {
    fn phases(&self) -> Phases {
        Phases {
            certificate: true,
            access: true,
            ..Phases::default()
        }
    }

    fn certificate(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let name = name.to_ascii_lowercase();
        if !self.issuer.domains.has(&name) {
            return None;
        }
        let found = self.issuer.served.find(&name);
        if found.due
            && let Ok(place) = Arc::clone(&self.issuer.asked).try_acquire_owned()
        {
            let issuer = Arc::clone(&self.issuer);
            let provided = self.delivery.spawn_until_end(async move {
                issuer.provide(&name).await;
                drop(place);
            });
            if let Err(problem) = provided {
                tracing::error!("no certificate can be ordered: {problem}");
            }
        }
        found.key
    }

    fn access<'a, 'r: 'a>(&'r self, exchange: &'a mut Exchange<'r>) -> Access<'a> {
        let path = exchange.path();
        let token = path.strip_prefix(CHALLENGES);
        let Some(token) = token.filter(|token| !token.is_empty()) else {
            return Access::Ready(Flow::Continue);
        };
        let host = exchange.host.to_ascii_lowercase();
        if exchange.protocol != Protocol::Http || !self.issuer.domains.has(&host) {
            return Access::Ready(Flow::Continue);
        }
        let token = token.to_owned();
        Access::Pending(Box::pin(async move {
            Flow::Respond(Box::new(self.answer(&token).await))
        }))
    }
}
