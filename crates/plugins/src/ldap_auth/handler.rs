//! How `ldap-auth` finds and judges a name and password.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::StatusCode;
use http::header::{AUTHORIZATION, HeaderValue, PROXY_AUTHORIZATION, WWW_AUTHENTICATE};
use keelgate_entities::kinds;
use uuid::Uuid;

use super::binder::{Answer, Binder, Settings};
use super::config::Config;
use super::verdicts::{Asked, Verdicts, digest};
use crate::authentication::{admit_anonymous, admit_without_consumer, challenge};
use crate::error::Reason;
use crate::exchange::Credential;
use crate::registry::Node;
use crate::{Access, Directory, Exchange, Flow, Phases, Plugin, Response, setting};

/// Clients forget the padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A compiled `ldap-auth`.
pub(crate) struct LdapAuth {
    binder: Binder,
    /// What tells the server and its settings apart.
    server: Vec<u8>,
    verdicts: Arc<Verdicts>,
    lifetime: Duration,
    scheme: String,
    challenge: HeaderValue,
    hide_credentials: bool,
    anonymous: Option<String>,
    directory: Arc<Directory>,
}

/// What a client sends.
pub(super) struct Login {
    pub(super) username: String,
    pub(super) password: String,
}

/// Why a request is not let through.
enum Refusal {
    /// Nobody vouches for it.
    Unauthorized,
    /// Nobody could be asked.
    Unanswered,
}

/// Compiles a configuration.
pub(crate) fn compile(
    node: &Node,
    plugin: &kinds::Plugin,
    directory: &Arc<Directory>,
) -> Result<Arc<dyn Plugin>, Reason> {
    let config: Config = setting::decode(&plugin.config)?;
    let needed = |field, value: Option<String>| {
        value.ok_or_else(|| Reason::setting(field, "required, and not set"))
    };
    let milliseconds = |field, value: Option<f64>, default: f64| {
        let seconds = value.unwrap_or(default) / 1000.0;
        Duration::try_from_secs_f64(seconds).map_err(|problem| Reason::setting(field, problem))
    };
    let lifetime = Duration::try_from_secs_f64(config.cache_ttl);
    let lifetime = lifetime.map_err(|problem| Reason::setting("cache_ttl", problem))?;
    if config.ldaps && config.start_tls {
        let problem = "'ldaps' and 'start_tls' cannot be enabled simultaneously";
        return Err(Reason::setting("start_tls", problem));
    }
    let scheme = config.header_type.unwrap_or_else(|| "ldap".to_owned());
    let shown = if scheme == "ldap" { "LDAP" } else { &scheme };
    let challenge = challenge(shown, config.realm.as_deref());
    let settings = Settings {
        host: needed("ldap_host", config.ldap_host)?,
        port: config.ldap_port,
        names: node.names.clone(),
        ldaps: config.ldaps,
        start_tls: config.start_tls,
        tls: node.trust.client(config.verify_ldap_host),
        attribute: needed("attribute", config.attribute)?,
        base: needed("base_dn", config.base_dn)?,
        patience: milliseconds("timeout", config.timeout, 10_000.0)?,
        keep: milliseconds("keepalive", config.keepalive, 60_000.0)?,
    };
    let flags = [config.start_tls, config.verify_ldap_host].map(u8::from);
    let binder = Binder::new(settings);
    if !(config.verify_ldap_host && (config.ldaps || config.start_tls)) {
        let server = binder.server();
        tracing::warn!(
            server,
            "passwords go to an LDAP server that is not verified; set verify_ldap_host, and ldaps or start_tls"
        );
    }
    Ok(Arc::new(LdapAuth {
        server: [binder.server().as_bytes(), &flags].concat(),
        binder,
        verdicts: Arc::clone(&node.ldap_verdicts),
        lifetime,
        challenge: setting::header_value("realm", &challenge)?,
        scheme,
        hide_credentials: config.hide_credentials,
        anonymous: config.anonymous,
        directory: Arc::clone(directory),
    }))
}

impl Login {
    /// Reads the scheme, in any letter case, and the base64 of `name:password`.
    pub(super) fn read(value: &HeaderValue, scheme: &str) -> Option<Self> {
        let value = value.as_bytes().trim_ascii_start();
        let (named, encoded) = value.split_at_checked(scheme.len())?;
        let is_apart = encoded.first().is_some_and(u8::is_ascii_whitespace);
        if !named.eq_ignore_ascii_case(scheme.as_bytes()) || !is_apart {
            return None;
        }
        let login = BASE64.decode(encoded.trim_ascii()).ok()?;
        let login = String::from_utf8(login).ok()?;
        let (username, password) = login.split_once(':')?;
        let is_usable = |text: &str| !text.is_empty() && !text.contains(['\0', '\r', '\n']);
        (is_usable(username) && is_usable(password)).then(|| Self {
            username: username.to_owned(),
            password: password.to_owned(),
        })
    }
}

impl LdapAuth {
    fn asked(&self, login: &Login) -> Asked {
        let name = self.binder.name(&login.username);
        let parts = [&self.server[..], name.as_bytes(), login.password.as_bytes()];
        digest(parts)
    }

    /// Whether name and password are right, and what they are known by from then on.
    async fn judge(&self, login: &Login, now: Duration) -> Result<Option<Uuid>, Refusal> {
        let asked = self.asked(login);
        let is_right = match self.verdicts.get(&asked, self.lifetime, now) {
            Some(known) => known,
            None => match self.binder.ask(&login.username, &login.password).await {
                Ok(Answer::Refused) => false,
                Ok(answer) => {
                    let is_right = answer == Answer::Right;
                    if !self.lifetime.is_zero() {
                        self.verdicts.put(asked, is_right, now);
                    }
                    is_right
                }
                Err(problem) => {
                    let server = self.binder.server();
                    tracing::error!(server, %problem, "an LDAP server cannot be asked");
                    return Err(Refusal::Unanswered);
                }
            },
        };
        let (id, _) = asked.split_at(16);
        Ok(is_right.then(|| Uuid::from_slice(id).unwrap_or_default()))
    }

    /// Lets the request through, or says why not.
    async fn authenticate(&self, exchange: &mut Exchange<'_>) -> Result<(), Refusal> {
        let since = exchange.times.received_at.duration_since(UNIX_EPOCH);
        let now = since.unwrap_or_default();
        for header in [PROXY_AUTHORIZATION, AUTHORIZATION] {
            let value = exchange.headers.get(&header);
            let Some(login) = value.and_then(|value| Login::read(value, &self.scheme)) else {
                continue;
            };
            if let Some(id) = self.judge(&login, now).await? {
                if self.hide_credentials {
                    exchange.headers.remove(AUTHORIZATION);
                    exchange.headers.remove(PROXY_AUTHORIZATION);
                }
                let identifier = HeaderValue::from_bytes(login.username.as_bytes()).ok();
                admit_without_consumer(exchange, Credential { id }, identifier);
                return Ok(());
            }
        }
        Err(Refusal::Unauthorized)
    }

    fn refuse(&self) -> Response {
        let mut response = Response::error(StatusCode::UNAUTHORIZED, "Unauthorized");
        let challenge = self.challenge.clone();
        response.headers.insert(WWW_AUTHENTICATE, challenge);
        response
    }
}

impl Plugin for LdapAuth {
    fn phases(&self) -> Phases {
        Phases {
            access: true,
            ..Phases::default()
        }
    }

    fn access<'a, 'r: 'a>(&'r self, exchange: &'a mut Exchange<'r>) -> Access<'a> {
        let anonymous = self.anonymous.as_deref();
        if anonymous.is_some() && exchange.credential.is_some() {
            return Access::Ready(Flow::Continue);
        }
        Access::Pending(Box::pin(async move {
            match (self.authenticate(exchange).await, anonymous) {
                (Ok(()), _) => Flow::Continue,
                (Err(Refusal::Unauthorized), Some(anonymous)) => {
                    admit_anonymous(exchange, &self.directory, anonymous)
                }
                (Err(Refusal::Unauthorized), None) => Flow::Respond(Box::new(self.refuse())),
                (Err(Refusal::Unanswered), _) => Flow::Respond(Box::new(Response::error(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "An unexpected error occurred",
                ))),
            }
        }))
    }
}
