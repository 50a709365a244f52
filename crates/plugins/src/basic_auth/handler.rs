//! How `basic-auth` finds and judges a name and password.

use std::sync::Arc;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::StatusCode;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue, PROXY_AUTHORIZATION, WWW_AUTHENTICATE};
use keelgate_entities::kinds;

use super::config::Config;
use crate::authentication::{admit, challenge, judge};
use crate::error::Reason;
use crate::exchange::Credential;
use crate::registry::Node;
use crate::{Access, Directory, Exchange, Phases, Plugin, Response, setting};

/// Clients forget the padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A compiled `basic-auth`.
pub(crate) struct BasicAuth {
    anonymous: Option<String>,
    hide_credentials: bool,
    challenge: HeaderValue,
    directory: Arc<Directory>,
}

/// What a client sends.
struct Login {
    username: String,
    password: Vec<u8>,
}

/// Compiles a configuration.
pub(crate) fn compile(
    _node: &Node,
    plugin: &kinds::Plugin,
    directory: &Arc<Directory>,
) -> Result<Arc<dyn Plugin>, Reason> {
    let config: Config = setting::decode(&plugin.config)?;
    let challenge = challenge("Basic", Some(&config.realm));
    Ok(Arc::new(BasicAuth {
        anonymous: config.anonymous,
        hide_credentials: config.hide_credentials,
        challenge: setting::header_value("realm", &challenge)?,
        directory: Arc::clone(directory),
    }))
}

impl Login {
    /// Reads `Basic` and the base64 of `name:password`.
    fn read(value: &HeaderValue) -> Option<Self> {
        let value = value.to_str().ok()?;
        let (_, encoded) = value
            .split_once("Basic")
            .or_else(|| value.split_once("basic"))?;
        let login = BASE64.decode(encoded.trim()).ok()?;
        let at = memchr::memchr(b':', &login).filter(|at| *at > 0)?;
        Some(Self {
            username: String::from_utf8(login[..at].to_vec()).ok()?,
            password: login[at + 1..].to_vec(),
        })
    }
}

impl BasicAuth {
    /// What a header says; with `hide_credentials`, the upstream does not see it.
    fn login(&self, exchange: &mut Exchange<'_>, header: HeaderName) -> Option<Login> {
        let login = exchange.headers.get(&header).and_then(Login::read);
        if self.hide_credentials {
            exchange.headers.remove(header);
        }
        login
    }

    /// Admits the caller if the password is right.
    fn authenticate<'r>(&'r self, exchange: &mut Exchange<'r>) -> Option<()> {
        let login = self
            .login(exchange, PROXY_AUTHORIZATION)
            .filter(|login| self.directory.has_password(&login.username));
        let login = match login {
            Some(login) => login,
            None => self.login(exchange, AUTHORIZATION)?,
        };
        let found = self.directory.password(&login.username, &login.password);
        let (known, consumer) = found?;
        let credential = Credential { id: known.id };
        let credential = (credential, known.header.clone());
        admit(exchange, &self.directory, consumer, Some(credential));
        Some(())
    }

    fn refuse(&self) -> Response {
        let mut response = Response::error(StatusCode::UNAUTHORIZED, "Unauthorized");
        response
            .headers
            .insert(WWW_AUTHENTICATE, self.challenge.clone());
        response
    }
}

impl Plugin for BasicAuth {
    fn phases(&self) -> Phases {
        Phases {
            access: true,
            ..Phases::default()
        }
    }

    fn access<'a, 'r: 'a>(&'r self, exchange: &'a mut Exchange<'r>) -> Access<'a> {
        Access::Ready(judge(
            exchange,
            &self.directory,
            self.anonymous.as_deref(),
            |exchange| self.authenticate(exchange).ok_or(()),
            |()| self.refuse(),
        ))
    }
}
