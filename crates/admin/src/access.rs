//! Who may use the Admin API: credentials with roles. None by default, as in Kong.
//!
//! A client shows its secret as `Authorization: Bearer SECRET`, as `Authorization: Basic` with the
//! name of the credential, or as `Kong-Admin-Token: SECRET`, which clients of Kong can send.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::failure::Failure;

const TOKEN: HeaderName = HeaderName::from_static("kong-admin-token");

/// What the holder of a credential may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessRole {
    /// Read everything, secrets included, and have input validated.
    ReadOnly,
    /// Everything.
    ReadWrite,
}

/// A name, what it may do, and the digest of its secret.
#[derive(Clone)]
pub struct AdminCredential {
    name: String,
    role: AccessRole,
    secret: Digest,
}

type Digest = [u8; digest::SHA256_OUTPUT_LEN];

impl AdminCredential {
    /// A credential; the secret itself is not kept.
    pub fn new(name: impl Into<String>, role: AccessRole, secret: &str) -> Self {
        Self {
            name: name.into(),
            role,
            secret: digest_of(secret),
        }
    }
}

impl std::fmt::Debug for AdminCredential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdminCredential")
            .field("name", &self.name)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

/// Everyone who may use the Admin API; nobody in the list means anybody who reaches it.
#[derive(Clone, Debug, Default)]
pub struct Access {
    credentials: Vec<AdminCredential>,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It shows no credential that is known.
    Unknown,
    /// Its credential is for reading.
    ReadOnly,
}

impl Access {
    /// Those with one of these credentials.
    pub fn with(credentials: Vec<AdminCredential>) -> Self {
        Self { credentials }
    }

    /// Whether clients must show a credential.
    pub(crate) fn is_asked_for(&self) -> bool {
        !self.credentials.is_empty()
    }

    /// Admits a request, or not; answers the name of its credential, if credentials are asked for.
    pub(crate) fn admit(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<Option<&str>, Refused> {
        // What a path can do is no secret, and browsers ask for it without credentials.
        if self.credentials.is_empty() || method == Method::OPTIONS {
            return Ok(None);
        }
        let (name, secret) = shown(headers).ok_or(Refused::Unknown)?;
        let shown = digest_of(&secret);
        let mut found = None;
        // All are compared, so that the time tells nothing of which one came close.
        for credential in &self.credentials {
            let fits = verify_slices_are_equal(&credential.secret, &shown).is_ok();
            let named = name.as_ref().is_none_or(|name| *name == credential.name);
            if fits && named {
                found = Some(credential);
            }
        }
        let credential = found.ok_or(Refused::Unknown)?;
        if credential.role == AccessRole::ReadOnly && !reads(method, path) {
            return Err(Refused::ReadOnly);
        }
        Ok(Some(&credential.name))
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        match self {
            Self::Unknown => {
                let failure = Failure::message(StatusCode::UNAUTHORIZED, "Unauthorized");
                let mut response = failure.into_response();
                for scheme in ["Bearer realm=\"keelgate\"", "Basic realm=\"keelgate\""] {
                    let headers = response.headers_mut();
                    headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
                }
                response
            }
            Self::ReadOnly => {
                let message = "this credential is for reading only";
                Failure::message(StatusCode::FORBIDDEN, message).into_response()
            }
        }
    }
}

/// Whether a request changes nothing.
fn reads(method: &Method, path: &str) -> bool {
    let validates = || path.starts_with("/schemas/") && path.ends_with("/validate");
    [Method::GET, Method::HEAD].contains(method) || (method == Method::POST && validates())
}

fn digest_of(secret: &str) -> Digest {
    let mut out = Digest::default();
    out.copy_from_slice(digest::digest(&digest::SHA256, secret.as_bytes()).as_ref());
    out
}

/// The secret that a request shows, and the name beside it if there is one.
fn shown(headers: &HeaderMap) -> Option<(Option<String>, String)> {
    if let Some(token) = headers.get(TOKEN) {
        return Some((None, token.to_str().ok()?.to_owned()));
    }
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some((None, rest.to_owned()));
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let decoded = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
        let (name, secret) = decoded.split_once(':')?;
        return Some((Some(name.to_owned()), secret.to_owned()));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access() -> Access {
        Access::with(vec![
            AdminCredential::new("ops", AccessRole::ReadWrite, "correct horse battery"),
            AdminCredential::new("dashboard", AccessRole::ReadOnly, "only looking around"),
        ])
    }

    fn admit<'a>(
        access: &'a Access,
        method: &str,
        path: &str,
        header: (&'static str, &str),
    ) -> Result<Option<&'a str>, Refused> {
        let mut headers = HeaderMap::new();
        headers.insert(header.0, header.1.parse().unwrap());
        access.admit(&method.parse().unwrap(), path, &headers)
    }

    #[test]
    fn a_secret_is_shown_in_three_ways() {
        let access = access();
        let basic = format!("Basic {}", STANDARD.encode("ops:correct horse battery"));
        for header in [
            ("authorization", "Bearer correct horse battery"),
            ("authorization", "bearer correct horse battery"),
            ("kong-admin-token", "correct horse battery"),
            ("authorization", &basic),
        ] {
            assert_eq!(
                admit(&access, "DELETE", "/services/a", header),
                Ok(Some("ops"))
            );
        }
    }

    #[test]
    fn unknown_secrets_and_foreign_names_are_refused() {
        let access = access();
        let other = format!(
            "Basic {}",
            STANDARD.encode("dashboard:correct horse battery")
        );
        for header in [
            ("authorization", "Bearer correct horse"),
            ("authorization", "Bearer "),
            ("authorization", "Digest correct horse battery"),
            ("authorization", "Basic %%%"),
            ("authorization", &other),
            ("x-other", "correct horse battery"),
        ] {
            let answer = admit(&access, "GET", "/services", header);
            assert_eq!(answer, Err(Refused::Unknown), "{header:?}");
        }
    }

    #[test]
    fn a_reader_reads_and_validates() {
        let access = access();
        let header = ("authorization", "Bearer only looking around");
        for (method, path, expected) in [
            ("GET", "/services", Ok(Some("dashboard"))),
            ("HEAD", "/services", Ok(Some("dashboard"))),
            ("POST", "/schemas/services/validate", Ok(Some("dashboard"))),
            ("POST", "/services", Err(Refused::ReadOnly)),
            ("DELETE", "/services/a", Err(Refused::ReadOnly)),
            (
                "PATCH",
                "/schemas/services/validate",
                Err(Refused::ReadOnly),
            ),
            ("POST", "/config", Err(Refused::ReadOnly)),
        ] {
            assert_eq!(admit(&access, method, path, header), expected, "{path}");
        }
    }

    #[test]
    fn without_credentials_anybody_is_admitted() {
        let access = Access::default();
        let admitted = access.admit(&Method::DELETE, "/", &HeaderMap::new());
        assert_eq!(admitted, Ok(None));
    }

    #[test]
    fn secrets_do_not_show() {
        assert!(!format!("{:?}", access()).contains("horse"));
    }
}
