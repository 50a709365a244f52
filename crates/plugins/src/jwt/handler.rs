//! How `jwt` finds and judges a token.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use http::{Method, StatusCode};
use keelgate_entities::kinds;
use serde_json::{Map, Value};
use smallvec::SmallVec;

use super::config::{Claim, Config};
use super::token::Token;
use crate::authentication::{admit, challenge, judge};
use crate::base64::url_safe;
use crate::directory::Unproven;
use crate::error::Reason;
use crate::exchange::Credential;
use crate::registry::Node;
use crate::response::Body;
use crate::{Access, Directory, Exchange, Phases, Plugin, Response, arguments, cookies, setting};

/// A compiled `jwt`.
pub(crate) struct Jwt {
    arguments: Vec<String>,
    cookies: Vec<String>,
    headers: Vec<HeaderName>,
    key_claim: String,
    secret_is_base64: bool,
    claims: Vec<Claim>,
    /// Seconds; 0 for any.
    maximum_expiration: f64,
    anonymous: Option<String>,
    run_on_preflight: bool,
    /// When no token was sent.
    challenge: HeaderValue,
    /// When a token is not good.
    rejection: HeaderValue,
    directory: Arc<Directory>,
}

/// What a client sends as a token.
#[derive(Debug, PartialEq, Eq)]
enum Sent<'e> {
    Text(Cow<'e, [u8]>),
    /// An argument without a value.
    Flag,
}

/// Why a request is not let through.
enum Refusal {
    NoToken,
    Message(Cow<'static, str>),
    /// What is wrong with which claims.
    Claims(Map<String, Value>),
}

/// Compiles a configuration.
pub(crate) fn compile(
    _node: &Node,
    plugin: &kinds::Plugin,
    directory: &Arc<Directory>,
) -> Result<Arc<dyn Plugin>, Reason> {
    let config: Config = setting::decode(&plugin.config)?;
    let challenge = challenge("Bearer", config.realm.as_deref());
    let rejection = format!("{challenge} error=\"invalid_token\"");
    // A header is also found under its name with dashes for underscores, and no other name is
    // usual: proxies drop those with underscores.
    let header = |name: &String| setting::header_name("header_names", &name.replace('_', "-"));
    Ok(Arc::new(Jwt {
        headers: config
            .header_names
            .iter()
            .map(header)
            .collect::<Result<_, _>>()?,
        arguments: config.uri_param_names,
        cookies: config.cookie_names,
        key_claim: config.key_claim_name.unwrap_or_else(|| "iss".to_owned()),
        secret_is_base64: config.secret_is_base64,
        claims: config.claims_to_verify,
        maximum_expiration: config.maximum_expiration,
        anonymous: config.anonymous,
        run_on_preflight: config.run_on_preflight,
        challenge: setting::header_value("realm", &challenge)?,
        rejection: setting::header_value("realm", &rejection)?,
        directory: Arc::clone(directory),
    }))
}

impl Jwt {
    /// Admits the caller, or says why not.
    fn authenticate<'r>(&'r self, exchange: &mut Exchange<'r>) -> Result<(), Refusal> {
        let text = self.find(exchange)?;
        let (credential, consumer) = self.verify(&text, exchange.times.received_at)?;
        // Only what has been verified is handed on.
        let token = String::from_utf8_lossy(&text).into_owned();
        let token = ("authenticated_jwt_token".to_owned(), token);
        exchange.shared.push(token);
        admit(exchange, &self.directory, consumer, Some(credential));
        Ok(())
    }

    /// The one token in the query, cookies and headers; the same text several times is one.
    fn find(&self, exchange: &Exchange<'_>) -> Result<Vec<u8>, Refusal> {
        let mut found: SmallVec<[Sent<'_>; 2]> = SmallVec::new();
        let mut add = |sent| {
            let empty = matches!(&sent, Sent::Text(text) if text.is_empty());
            if !empty && !found.contains(&sent) {
                found.push(sent);
            }
        };
        if let Some(query) = &exchange.query {
            for name in &self.arguments {
                for value in arguments::find(query.as_bytes(), name.as_bytes()) {
                    add(value.map_or(Sent::Flag, Sent::Text));
                }
            }
        }
        for name in &self.cookies {
            if let Some(value) = cookies::find(&exchange.headers, name) {
                add(Sent::Text(value.into()));
            }
        }
        for name in &self.headers {
            let value = exchange.headers.get(name);
            if let Some(token) = value.and_then(|value| bearer(value.as_bytes())) {
                add(Sent::Text(token.into()));
            }
        }
        match (found.pop(), found.is_empty()) {
            (None, _) => Err(Refusal::NoToken),
            (Some(Sent::Text(text)), true) => Ok(text.into_owned()),
            (Some(Sent::Flag), true) => Err(message("Unrecognizable token")),
            (Some(_), false) => Err(message("Multiple tokens provided")),
        }
    }

    /// Who signed a token.
    fn verify(
        &self,
        text: &[u8],
        now: SystemTime,
    ) -> Result<((Credential, Option<HeaderValue>), &kinds::Consumer), Refusal> {
        let token = Token::parse(text).map_err(|problem| about("Bad token; ", problem, ""))?;
        let claim = &self.key_claim;
        let key = match token.named(claim) {
            None => return Err(about("No mandatory '", claim, "' in claims")),
            Some(Value::String(key)) if !key.is_empty() => key,
            Some(_) => return Err(about("Invalid '", claim, "' in claims")),
        };
        let (jwt, consumer) = self
            .directory
            .jwt(key)
            .ok_or_else(|| about("No credentials found for given '", claim, "'"))?;
        // The credential says how tokens are signed. A token that names another algorithm is not
        // verified at all: a public key must never serve as a shared secret.
        if token.algorithm != jwt.algorithm {
            return Err(message("Invalid algorithm"));
        }
        let decode = |secret: &str| match self.secret_is_base64 {
            true => url_safe(secret.as_bytes()),
            false => Some(secret.as_bytes().to_vec()),
        };
        jwt.verify(token.signed, &token.signature, decode)
            .map_err(|unproven| match unproven {
                Unproven::Unusable => message("Invalid key/secret"),
                Unproven::Wrong => message("Invalid signature"),
            })?;
        self.check(&token.claims, now)?;
        let credential = Credential { id: jwt.id };
        Ok(((credential, jwt.header.clone()), consumer))
    }

    /// Checks the claims whose meaning is known.
    fn check(&self, claims: &Map<String, Value>, now: SystemTime) -> Result<(), Refusal> {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let now = now.as_secs() as f64;
        let number = |name| claims.get(name).and_then(Value::as_f64);
        let mut problems = Map::new();
        for claim in &self.claims {
            let (name, problem) = match claim {
                Claim::Exp => (
                    "exp",
                    number("exp").map(|exp| (exp <= now, "token expired")),
                ),
                Claim::Nbf => {
                    let problem = |nbf| (nbf > now, "token not valid yet");
                    ("nbf", number("nbf").map(problem))
                }
            };
            match problem {
                None => problems.insert(name.to_owned(), "must be a number".into()),
                Some((true, problem)) => problems.insert(name.to_owned(), problem.into()),
                Some((false, _)) => None,
            };
        }
        let too_long = || number("exp").is_none_or(|exp| exp - now > self.maximum_expiration);
        if problems.is_empty() && self.maximum_expiration > 0.0 && too_long() {
            let problem = "exceeds maximum allowed expiration";
            problems.insert("exp".to_owned(), problem.into());
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(Refusal::Claims(problems))
        }
    }

    fn refuse(&self, refusal: Refusal) -> Response {
        let challenge = match &refusal {
            Refusal::NoToken => &self.challenge,
            Refusal::Message(_) | Refusal::Claims(_) => &self.rejection,
        };
        let mut response = match refusal {
            Refusal::NoToken => unauthorized(Body::Message("Unauthorized".to_owned(), false)),
            Refusal::Message(message) => unauthorized(Body::Message(message.into_owned(), false)),
            Refusal::Claims(problems) => {
                let body = Value::Object(problems).to_string();
                let mut response = unauthorized(Body::Bytes(Bytes::from(body)));
                let json = HeaderValue::from_static("application/json; charset=utf-8");
                response.headers.insert(CONTENT_TYPE, json);
                response
            }
        };
        response.headers.insert(WWW_AUTHENTICATE, challenge.clone());
        response
    }
}

impl Plugin for Jwt {
    fn phases(&self) -> Phases {
        Phases {
            access: true,
            ..Phases::default()
        }
    }

    fn access<'a, 'r: 'a>(&'r self, exchange: &'a mut Exchange<'r>) -> Access<'a> {
        if !self.run_on_preflight && exchange.method == Method::OPTIONS {
            return Access::Ready(crate::Flow::Continue);
        }
        Access::Ready(judge(
            exchange,
            &self.directory,
            self.anonymous.as_deref(),
            |exchange| self.authenticate(exchange),
            |refusal| self.refuse(refusal),
        ))
    }
}

fn unauthorized(body: Body) -> Response {
    Response::new(StatusCode::UNAUTHORIZED, body)
}

fn message(text: &'static str) -> Refusal {
    Refusal::Message(Cow::Borrowed(text))
}

fn about(before: &str, what: &str, behind: &str) -> Refusal {
    Refusal::Message(Cow::Owned(format!("{before}{what}{behind}")))
}

/// What stands behind the word `Bearer`, wherever that is.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    memchr::memmem::find_iter(value, b"earer").find_map(|at| {
        let before = at.checked_sub(1).map(|before| value[before]);
        let behind = &value[at + b"earer".len()..];
        let token = behind.trim_ascii_start();
        let parted = token.len() < behind.len();
        (matches!(before, Some(b'B' | b'b')) && parted && !token.is_empty()).then_some(token)
    })
}
