//! What `oauth2` is asked, and who answers.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use keelgate_entities::kinds::{self, ClientType, Protocol};
use uuid::Uuid;

use super::answer::{self, Failure, Problem};
use super::config::{Config, Pkce};
use super::parameters::{self, Parameters};
use super::recent::Recent;
use crate::authentication::challenge;
use crate::body::Format;
use crate::directory::Application;
use crate::error::Reason;
use crate::records::Records;
use crate::registry::Node;
use crate::{Access, Directory, Exchange, Flow, Phases, Plugin, Response, setting};

/// A compiled `oauth2`.
pub(crate) struct OAuth2 {
    /// This configuration of it.
    pub(super) id: Uuid,
    pub(super) scopes: Option<Vec<String>>,
    pub(super) is_scope_mandatory: bool,
    pub(super) grants: Grants,
    pub(super) is_global: bool,
    pub(super) reuses_refresh_tokens: bool,
    /// Seconds that an access token is good for; 0 for any.
    pub(super) token_expiration: i64,
    /// After how long a token and what refreshes it are gone; none for never.
    pub(super) lasts: Option<Duration>,
    pub(super) hides_credentials: bool,
    pub(super) header: HeaderName,
    pub(super) anonymous: Option<String>,
    pub(super) challenges: Challenges,
    pub(super) directory: Arc<Directory>,
    pub(super) recent: Arc<Recent>,
    records: Option<Arc<dyn Records>>,
    provision_key: String,
    accepts_terminated: bool,
    pkce: Option<Pkce>,
}

/// Ways to a token.
pub(super) struct Grants {
    pub(super) code: bool,
    pub(super) implicit: bool,
    pub(super) client_credentials: bool,
    pub(super) password: bool,
}

/// What `WWW-Authenticate` says.
pub(super) struct Challenges {
    scheme: String,
    pub(super) bare: HeaderValue,
    pub(super) invalid_token: HeaderValue,
}

/// Compiles a configuration.
pub(crate) fn compile(
    node: &Node,
    plugin: &kinds::Plugin,
    directory: &Arc<Directory>,
) -> Result<Arc<dyn Plugin>, Reason> {
    let config: Config = setting::decode(&plugin.config)?;
    let header = match config.auth_header_name.as_deref() {
        Some(name) => setting::header_name("auth_header_name", name)?,
        None => AUTHORIZATION,
    };
    let lasts = Duration::try_from_secs_f64(config.refresh_token_ttl)
        .map_err(|problem| Reason::setting("refresh_token_ttl", problem))?;
    let scheme = challenge("Bearer", config.realm.as_deref());
    let invalid_token = format!(
        "{scheme} error=\"invalid_token\" error_description=\"The access token is invalid or has \
         expired\""
    );
    Ok(Arc::new(OAuth2 {
        id: plugin.id,
        scopes: config.scopes,
        is_scope_mandatory: config.mandatory_scope,
        grants: Grants {
            code: config.enable_authorization_code,
            implicit: config.enable_implicit_grant,
            client_credentials: config.enable_client_credentials,
            password: config.enable_password_grant,
        },
        is_global: config.global_credentials,
        reuses_refresh_tokens: config.reuse_refresh_token,
        // The conversion keeps within the bounds of the type.
        token_expiration: config.token_expiration as i64,
        lasts: (!lasts.is_zero()).then_some(lasts),
        hides_credentials: config.hide_credentials,
        header,
        anonymous: config.anonymous,
        challenges: Challenges {
            bare: setting::header_value("realm", &scheme)?,
            invalid_token: setting::header_value("realm", &invalid_token)?,
            scheme,
        },
        directory: Arc::clone(directory),
        recent: Arc::clone(&node.recent_tokens),
        records: node.records.records(),
        provision_key: config.provision_key,
        accepts_terminated: config.accept_http_if_already_terminated,
        pkce: config.pkce,
    }))
}

/// What the gateway itself answers below any path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Endpoint {
    Authorization,
    Token,
}

impl Endpoint {
    fn of(path: &str) -> Option<Self> {
        let path = path.strip_suffix('/').unwrap_or(path);
        if path.ends_with("/oauth2/token") {
            Some(Self::Token)
        } else if path.ends_with("/oauth2/authorize") {
            Some(Self::Authorization)
        } else {
            None
        }
    }
}

impl OAuth2 {
    pub(super) fn records(&self) -> Result<&dyn Records, Failure> {
        self.records.as_deref().ok_or(Failure::NoRecords)
    }

    /// The service that a token is for; none where it is for all.
    pub(super) fn service(&self, exchange: &Exchange<'_>) -> Result<Option<Uuid>, Failure> {
        match exchange.service {
            _ if self.is_global => Ok(None),
            Some(service) => Ok(Some(service.id)),
            None => Err(Failure::NoService),
        }
    }

    /// Whether it is the login page that speaks.
    pub(super) fn is_provisioned(&self, parameters: &Parameters) -> bool {
        let given = parameters.text("provision_key").unwrap_or_default();
        let is_right =
            verify_slices_are_equal(given.as_bytes(), self.provision_key.as_bytes()).is_ok();
        is_right && !self.provision_key.is_empty()
    }

    /// Whether an application must prove that it began what it ends.
    pub(super) fn needs_proof(&self, client: &Application) -> bool {
        match client.client_type {
            ClientType::Public => self.pkce != Some(Pkce::None),
            ClientType::Confidential => self.pkce == Some(Pkce::Strict),
        }
    }

    /// Secrets travel over TLS only.
    pub(super) fn check_tls(&self, exchange: &Exchange<'_>) -> Result<(), Problem> {
        let is_encrypted = matches!(exchange.protocol, Protocol::Https | Protocol::Grpcs);
        if exchange.client.tls || self.accepts_terminated && is_encrypted {
            return Ok(());
        }
        let told = exchange.headers.get_bytes("x-forwarded-proto");
        let are_several = told.is_some_and(|told| told.contains(&b','));
        let description = match self.accepts_terminated && are_several {
            true => "Only one X-Forwarded-Proto header allowed",
            false => "You must use HTTPS",
        };
        Err(Problem::new("access_denied", description))
    }

    fn refuse_method(&self, endpoint: Endpoint, method: &Method) -> Response {
        let endpoint = match endpoint {
            Endpoint::Authorization => "authorization",
            Endpoint::Token => "token",
        };
        let description =
            format!("The HTTP method {method} is invalid for the {endpoint} endpoint");
        let challenge = format!(
            "{} error=\"invalid_method\" error_description=\"{description}\"",
            self.challenges.scheme
        );
        // Neither a method nor a realm that was checked has characters that cannot stand here.
        let challenge = HeaderValue::from_bytes(challenge.as_bytes());
        let challenge = challenge.unwrap_or_else(|_| self.challenges.bare.clone());
        let problem = Problem::new("invalid_method", description);
        answer::challenge(StatusCode::METHOD_NOT_ALLOWED, &problem, challenge)
    }
}

fn respond(answer: Result<Response, Failure>) -> Flow {
    Flow::Respond(Box::new(answer.unwrap_or_else(|failure| failure.answer())))
}

/// Seconds since 1970.
pub(super) fn seconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH);
    since.unwrap_or(Duration::ZERO).as_secs()
}

impl Plugin for OAuth2 {
    fn phases(&self) -> Phases {
        Phases {
            access: true,
            request_body: true,
            ..Phases::default()
        }
    }

    fn wants_request_body(&self, exchange: &Exchange<'_>) -> bool {
        let format = Format::of(exchange.headers.get(CONTENT_TYPE));
        let is_hidden = self.hides_credentials && format == Some(Format::Arguments);
        format.is_some()
            && parameters::in_body(&exchange.method)
            && (is_hidden
                || !exchange.headers.contains_key(&self.header)
                || Endpoint::of(&exchange.path()).is_some())
    }

    fn access<'a, 'r: 'a>(&'r self, exchange: &'a mut Exchange<'r>) -> Access<'a> {
        match Endpoint::of(&exchange.path()) {
            Some(endpoint) if exchange.method != Method::POST => {
                let refusal = self.refuse_method(endpoint, &exchange.method);
                Access::Ready(Flow::Respond(Box::new(refusal)))
            }
            Some(Endpoint::Token) => {
                Access::Pending(Box::pin(async move { respond(self.issue(exchange).await) }))
            }
            Some(Endpoint::Authorization) => {
                Access::Pending(Box::pin(
                    async move { respond(self.authorize(exchange).await) },
                ))
            }
            None => self.authenticate(exchange),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_found_below_any_path() {
        for (path, endpoint) in [
            ("/oauth2/token", Some(Endpoint::Token)),
            ("/api/v1/oauth2/token/", Some(Endpoint::Token)),
            ("/a/oauth2/authorize", Some(Endpoint::Authorization)),
            ("/oauth2/authorize/", Some(Endpoint::Authorization)),
            ("/oauth2/token//", None),
            ("/oauth2/tokens", None),
            ("/oauth2/token/x", None),
            ("/", None),
        ] {
            assert_eq!(Endpoint::of(path), endpoint, "{path}");
        }
    }
}
