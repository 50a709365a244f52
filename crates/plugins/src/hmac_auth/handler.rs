//! How `hmac-auth` finds and judges a signature.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ::base64::Engine;
use ::base64::prelude::BASE64_STANDARD;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use http::header::{
    AUTHORIZATION, DATE, HeaderName, HeaderValue, PROXY_AUTHORIZATION, WWW_AUTHENTICATE,
};
use http::{StatusCode, Version};
use jiff::fmt::rfc2822;
use keelgate_entities::kinds;

use super::config::Config;
use super::parameters::{Algorithm, Parameters};
use crate::authentication::{admit, challenge, judge};
use crate::error::Reason;
use crate::exchange::Credential;
use crate::registry::Node;
use crate::{Access, Directory, Exchange, HeaderMap, Phases, Plugin, Response, base64, setting};

const X_DATE: HeaderName = HeaderName::from_static("x-date");
const DIGEST: HeaderName = HeaderName::from_static("digest");

const UNAUTHORIZED: &str = "Unauthorized";
const UNDATED: &str = "HMAC signature cannot be verified, a valid date or x-date header is \
                       required for HMAC Authentication";
const UNVERIFIABLE: &str = "HMAC signature cannot be verified";
const DIFFERENT: &str = "HMAC signature does not match";

/// Clients get the day of the week wrong.
const DATES: rfc2822::DateTimeParser = rfc2822::DateTimeParser::new().relaxed_weekday(true);

/// A compiled `hmac-auth`.
pub(crate) struct HmacAuth {
    hide_credentials: bool,
    clock_skew: Duration,
    anonymous: Option<String>,
    validate_request_body: bool,
    enforce_headers: Vec<String>,
    algorithms: Vec<Algorithm>,
    challenge: HeaderValue,
    directory: Arc<Directory>,
}

/// Compiles a configuration.
pub(crate) fn compile(
    _node: &Node,
    plugin: &kinds::Plugin,
    directory: &Arc<Directory>,
) -> Result<Arc<dyn Plugin>, Reason> {
    let config: Config = setting::decode(&plugin.config)?;
    let challenge = challenge("hmac", config.realm.as_deref());
    let clock_skew = config.clock_skew.unwrap_or(300.0);
    let clock_skew = Duration::try_from_secs_f64(clock_skew)
        .map_err(|problem| Reason::setting("clock_skew", problem))?;
    Ok(Arc::new(HmacAuth {
        hide_credentials: config.hide_credentials,
        clock_skew,
        anonymous: config.anonymous,
        validate_request_body: config.validate_request_body,
        enforce_headers: config.enforce_headers,
        algorithms: config.algorithms,
        challenge: setting::header_value("realm", &challenge)?,
        directory: Arc::clone(directory),
    }))
}

impl HmacAuth {
    /// Admits the caller, or says why not.
    fn authenticate<'r>(&'r self, exchange: &mut Exchange<'r>) -> Result<(), &'static str> {
        let headers = &exchange.headers;
        if !headers.contains_key(AUTHORIZATION) && !headers.contains_key(PROXY_AUTHORIZATION) {
            return Err(UNAUTHORIZED);
        }
        let now = exchange.times.received_at;
        if !self.is_dated(headers, X_DATE, now) && !self.is_dated(headers, DATE, now) {
            return Err(UNDATED);
        }
        let (carrier, verified) = self.verify(exchange);
        if self.hide_credentials {
            exchange.headers.remove(carrier);
        }
        let (known, consumer) = verified?;
        let credential = Credential { id: known.id };
        let credential = (credential, known.header.clone());
        admit(exchange, &self.directory, consumer, Some(credential));
        Ok(())
    }

    /// Whether a header has a date that is near enough.
    fn is_dated(&self, headers: &HeaderMap, name: HeaderName, now: SystemTime) -> bool {
        let date = headers.get(name).and_then(|value| date(value.as_bytes()));
        date.is_some_and(|date| {
            let skew = now
                .duration_since(date)
                .or_else(|_| date.duration_since(now));
            // Dates are whole seconds, and so is the clock that they are held against.
            skew.is_ok_and(|skew| skew.as_secs() <= self.clock_skew.as_secs())
        })
    }

    /// The header that was looked at, and who signed the request.
    fn verify(
        &self,
        exchange: &Exchange<'_>,
    ) -> (
        HeaderName,
        Result<(&crate::directory::HmacAuth, &kinds::Consumer), &'static str>,
    ) {
        let header = |name| {
            let value = exchange.headers.get(name)?;
            Parameters::parse(value.as_bytes())
        };
        let (carrier, parameters) = match header(PROXY_AUTHORIZATION) {
            Some(parameters) => (PROXY_AUTHORIZATION, Some(parameters)),
            None => (AUTHORIZATION, header(AUTHORIZATION)),
        };
        let verified = parameters
            .ok_or(UNVERIFIABLE)
            .and_then(|parameters| self.verify_one(exchange, &parameters));
        (carrier, verified)
    }

    fn verify_one(
        &self,
        exchange: &Exchange<'_>,
        parameters: &Parameters<'_>,
    ) -> Result<(&crate::directory::HmacAuth, &kinds::Consumer), &'static str> {
        let covers = |name: &String| parameters.headers.contains(&name.as_str());
        if !self.enforce_headers.iter().all(covers) {
            return Err(UNVERIFIABLE);
        }
        let algorithm = parameters
            .algorithm
            .filter(|algorithm| self.algorithms.contains(algorithm))
            .ok_or(UNVERIFIABLE)?;
        let known = self.directory.hmac_auth(parameters.username);
        let (signer, consumer) = known.ok_or(UNVERIFIABLE)?;
        let signature = base64::standard(parameters.signature).ok_or(DIFFERENT)?;
        let is_signed = signer.signs(algorithm.method(), &signature, |text| {
            write_signed(exchange, &parameters.headers, text);
        });
        if !is_signed || (self.validate_request_body && !digest_fits(exchange)) {
            return Err(DIFFERENT);
        }
        Ok((signer, consumer))
    }

    fn refuse(&self, message: &'static str) -> Response {
        let mut response = Response::error(StatusCode::UNAUTHORIZED, message);
        let challenge = self.challenge.clone();
        response.headers.insert(WWW_AUTHENTICATE, challenge);
        response
    }
}

impl Plugin for HmacAuth {
    fn phases(&self) -> Phases {
        Phases {
            access: true,
            request_body: self.validate_request_body,
            ..Phases::default()
        }
    }

    fn access<'a, 'r: 'a>(&'r self, exchange: &'a mut Exchange<'r>) -> Access<'a> {
        Access::Ready(judge(
            exchange,
            &self.directory,
            self.anonymous.as_deref(),
            |exchange| self.authenticate(exchange),
            |message| self.refuse(message),
        ))
    }
}

/// A date as mail and HTTP write it: `Mon, 01 Jan 2024 00:00:00 GMT` or with an offset, and the
/// older forms of HTTP.
fn date(text: &[u8]) -> Option<SystemTime> {
    let text = std::str::from_utf8(text).ok()?;
    match DATES.parse_timestamp(text) {
        Ok(date) => Some(date.into()),
        Err(_) => httpdate::parse_http_date(text).ok(),
    }
}

/// Writes what is signed: one line for each of the names.
fn write_signed(exchange: &Exchange<'_>, names: &[&str], text: &mut hmac::Context) {
    for (at, name) in names.iter().enumerate() {
        if at > 0 {
            text.update(b"\n");
        }
        if let Some(value) = header(&exchange.headers, name) {
            text.update(name.as_bytes());
            text.update(b": ");
            text.update(value.as_bytes());
        } else if *name == "@request-target" {
            text.update(b"@request-target: ");
            text.update(exchange.method.as_str().to_ascii_lowercase().as_bytes());
            text.update(b" ");
            write_target(exchange, text);
        } else if *name == "request-line" {
            text.update(exchange.method.as_str().as_bytes());
            text.update(b" ");
            write_target(exchange, text);
            text.update(match exchange.version {
                Version::HTTP_10 => b" HTTP/1.0",
                Version::HTTP_2 => b" HTTP/2.0",
                _ => b" HTTP/1.1",
            });
        } else {
            text.update(name.as_bytes());
            text.update(b":");
        }
    }
}

/// The target as it was received.
fn write_target(exchange: &Exchange<'_>, text: &mut hmac::Context) {
    text.update(exchange.raw_path.as_bytes());
    if let Some(query) = &exchange.query {
        text.update(b"?");
        text.update(query.as_bytes());
    }
}

/// The first value of a header, also under its name with dashes for underscores.
fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h HeaderValue> {
    // `get` takes names as they are written, and what is no name is not found.
    headers.get(name).or_else(|| {
        let dashed = name.contains('_').then(|| name.replace('_', "-"))?;
        headers.get(dashed)
    })
}

/// Whether the `Digest` header is that of the body; without one, whether there is no body.
fn digest_fits(exchange: &Exchange<'_>) -> bool {
    let body = exchange.request_body.as_deref().unwrap_or_default();
    let Some(told) = exchange.headers.get(DIGEST) else {
        return body.is_empty();
    };
    let mut expected = String::from("SHA-256=");
    BASE64_STANDARD.encode_string(digest(&SHA256, body), &mut expected);
    verify_slices_are_equal(told.as_bytes(), expected.as_bytes()).is_ok()
}
