//! The token endpoint: where applications get tokens.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::StatusCode;
use http::header::{HeaderValue, WWW_AUTHENTICATE};
use keelgate_entities::kinds::ClientType;
use serde_json::Value;

use super::answer::{self, Failure, Fields, Problem};
use super::handler::{OAuth2, seconds};
use super::parameters::Parameters;
use super::redirect;
use super::scope;
use super::stored::{Code, Token};
use super::token::Grant;
use crate::directory::Application;
use crate::{Exchange, Response, base64 as lenient};

/// What a token is given for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Code,
    ClientCredentials,
    Password,
    Refresh,
}

/// Why an application gets no token.
struct Refusal {
    problem: Problem,
    /// Whether it is told to authenticate in the header where it tried to.
    is_challenged: bool,
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self {
            problem,
            is_challenged: false,
        }
    }
}

/// What an application calls itself, and what it proves that with.
#[derive(Debug, Default, PartialEq, Eq)]
struct Credentials {
    client_id: Option<String>,
    client_secret: Option<String>,
    is_in_header: bool,
}

type Outcome<T> = Result<Result<T, Refusal>, Failure>;

impl OAuth2 {
    /// Answers the token endpoint.
    pub(super) async fn issue(&self, exchange: &Exchange<'_>) -> Result<Response, Failure> {
        let parameters = Parameters::of(exchange);
        let outcome = match self.check_tls(exchange) {
            Ok(()) => self.judge(exchange, &parameters).await?,
            Err(problem) => Err(problem.into()),
        };
        let (status, mut fields, is_challenged) = match outcome {
            Ok(fields) => (StatusCode::OK, fields, false),
            Err(refusal) => (
                match refusal.is_challenged {
                    true => StatusCode::UNAUTHORIZED,
                    false => StatusCode::BAD_REQUEST,
                },
                refusal.problem.fields(),
                refusal.is_challenged,
            ),
        };
        if let Some(state) = parameters.get("state") {
            fields.insert("state".to_owned(), state.clone());
        }
        let mut response = answer::private(status, &fields);
        if is_challenged {
            let challenge = HeaderValue::from_static("Basic realm=\"OAuth2.0\"");
            response.headers.insert(WWW_AUTHENTICATE, challenge);
        }
        Ok(response)
    }

    async fn judge(&self, exchange: &Exchange<'_>, parameters: &Parameters) -> Outcome<Fields> {
        let kind = self.kind(parameters);
        let credentials = self.credentials(exchange, parameters);
        let client = credentials.client_id.as_deref();
        let client = client.and_then(|client_id| self.directory.client(client_id));
        // Of several problems, applications are told the last.
        let mut refusal = kind.is_none().then(|| {
            let problem = Problem::new("unsupported_grant_type", "Invalid grant_type");
            Refusal::from(problem)
        });
        if parameters.text("grant_type") != Some("client_credentials") {
            let redirects = client.and_then(|client| client.redirect_uris.as_deref());
            refusal = match redirects {
                None => Some(unauthenticated(&credentials)),
                Some(known) => match redirect::chosen(parameters.get("redirect_uri"), known) {
                    None => Some(Problem::foreign_redirect().into()),
                    Some(_) => refusal,
                },
            };
        }
        if let Some(client) = client {
            refusal = check_secret(client, &credentials).await.or(refusal);
        }
        if let Some(refusal) = refusal {
            return Ok(Err(refusal));
        }
        let (Some(kind), Some(client)) = (kind, client) else {
            return Ok(Err(Problem::invalid_client().into()));
        };
        match kind {
            Kind::Code => self.by_code(exchange, parameters, client).await,
            Kind::Refresh => self.by_refreshing(exchange, parameters, client).await,
            Kind::ClientCredentials => {
                let speaks_for = parameters.get("authenticated_userid").is_some();
                if speaks_for && !self.is_provisioned(parameters) {
                    return Ok(Err(Problem::invalid_provision_key().into()));
                }
                let user = parameters.text("authenticated_userid");
                self.outright(exchange, parameters, client, user, false)
                    .await
            }
            Kind::Password => {
                if !self.is_provisioned(parameters) {
                    return Ok(Err(Problem::invalid_provision_key().into()));
                }
                match parameters.user() {
                    Some(user) => {
                        self.outright(exchange, parameters, client, Some(user), true)
                            .await
                    }
                    None => Ok(Err(Problem::missing_user().into())),
                }
            }
        }
    }

    fn kind(&self, parameters: &Parameters) -> Option<Kind> {
        match parameters.text("grant_type")? {
            "authorization_code" => Some(Kind::Code),
            "refresh_token" => Some(Kind::Refresh),
            "client_credentials" if self.grants.client_credentials => Some(Kind::ClientCredentials),
            "password" if self.grants.password => Some(Kind::Password),
            _ => None,
        }
    }

    /// From the parameters, or else from the header.
    fn credentials(&self, exchange: &Exchange<'_>, parameters: &Parameters) -> Credentials {
        let client_id = parameters.text("client_id").map(str::to_owned);
        match (parameters.get("client_id"), parameters.get("client_secret")) {
            (Some(_), Some(secret)) => Credentials {
                client_id,
                client_secret: Some(match secret {
                    Value::String(secret) => secret.clone(),
                    other => other.to_string(),
                }),
                is_in_header: false,
            },
            _ => match exchange.headers.get(&self.header) {
                Some(value) => {
                    let (client_id, client_secret) = in_header(value.as_bytes()).unzip();
                    Credentials {
                        client_id,
                        client_secret: client_secret.flatten(),
                        is_in_header: true,
                    }
                }
                None => Credentials {
                    client_id,
                    ..Credentials::default()
                },
            },
        }
    }

    /// A token for what the parameters ask for.
    async fn outright(
        &self,
        exchange: &Exchange<'_>,
        parameters: &Parameters,
        client: &Application,
        user: Option<&str>,
        is_refreshable: bool,
    ) -> Outcome<Fields> {
        let known = self.scopes.as_deref();
        let scope = match scope::asked(parameters.get("scope"), known, self.is_scope_mandatory) {
            Ok(scope) => scope,
            Err(problem) => return Ok(Err(problem.into())),
        };
        let grant = Grant {
            application: client.id,
            service: self.service(exchange)?,
            user,
            scope: scope.as_deref(),
            is_refreshable,
            instead_of: None,
        };
        let granted = self.grant(self.records()?, grant).await?;
        Ok(granted.ok_or_else(|| Problem::invalid_client().into()))
    }

    /// A token for a code, which it uses up.
    async fn by_code(
        &self,
        exchange: &Exchange<'_>,
        parameters: &Parameters,
        client: &Application,
    ) -> Outcome<Fields> {
        let invalid = || Refusal::from(Problem::invalid_request("Invalid code"));
        let (records, service) = (self.records()?, self.service(exchange)?);
        let now = seconds(exchange.times.received_at);
        let code = match parameters.text("code") {
            Some(code) => Code::find(records, code, now).await?,
            None => None,
        };
        let is_of_service =
            |code: &Code| service.is_none() || code.service.map(|of| of.0) == service;
        let code = code.filter(|code| is_of_service(code) && code.credential.0 == client.id);
        let Some(code) = code else {
            return Ok(Err(invalid()));
        };
        if (code.challenge_method.is_some() || self.needs_proof(client))
            && let Err(problem) = check_proof(parameters, code.challenge.as_deref())
        {
            return Ok(Err(problem.into()));
        }
        if self.is_global && code.plugin.is_some_and(|plugin| plugin.0 != self.id) {
            return Ok(Err(invalid()));
        }
        let grant = Grant {
            application: client.id,
            service,
            user: code.authenticated_userid.as_deref(),
            scope: code.scope.as_deref(),
            is_refreshable: true,
            instead_of: Some(code.id()),
        };
        Ok(self.grant(records, grant).await?.ok_or_else(invalid))
    }

    /// A token for one that has been given before.
    async fn by_refreshing(
        &self,
        exchange: &Exchange<'_>,
        parameters: &Parameters,
        client: &Application,
    ) -> Outcome<Fields> {
        let invalid = || Refusal::from(Problem::invalid_request("Invalid refresh_token"));
        let (records, service) = (self.records()?, self.service(exchange)?);
        let token = match parameters.text("refresh_token") {
            Some(token) => Token::find(records, "refresh_token", token).await?,
            None => None,
        };
        let is_of_service =
            |token: &Token| service.is_none() || token.service.map(|of| of.0) == service;
        let Some(token) = token.filter(is_of_service) else {
            return Ok(Err(invalid()));
        };
        if token.credential.0 != client.id {
            return Ok(Err(Problem::invalid_client().into()));
        }
        let scopes = token.scope.as_deref();
        if scopes.is_some_and(|scopes| !scope::are_known(scopes, self.scopes.as_deref())) {
            let problem = Problem::new("invalid_scope", "Scope mismatch");
            return Ok(Err(problem.into()));
        }
        let refreshed = if self.reuses_refresh_tokens {
            self.renew(records, &token).await?
        } else {
            let grant = Grant {
                application: client.id,
                service,
                user: token.authenticated_userid.as_deref(),
                scope: scopes,
                is_refreshable: true,
                instead_of: Some(token.id()),
            };
            self.grant(records, grant).await?
        };
        Ok(refreshed.ok_or_else(invalid))
    }
}

fn unauthenticated(credentials: &Credentials) -> Refusal {
    Refusal {
        problem: Problem::invalid_client(),
        is_challenged: credentials.is_in_header,
    }
}

/// Whether the application is who it says: why not, if not.
async fn check_secret(client: &Application, credentials: &Credentials) -> Option<Refusal> {
    let given = credentials.client_secret.as_deref();
    match client.client_type {
        ClientType::Confidential => {
            let is_right = match given {
                Some(given) => client.is_secret(given).await,
                None => false,
            };
            (!is_right).then(|| unauthenticated(credentials))
        }
        ClientType::Public => {
            let is_secretive = given.is_some_and(|given| !given.trim().is_empty());
            is_secretive.then(|| {
                let problem = "client_secret is disallowed for public clients";
                Problem::invalid_request(problem).into()
            })
        }
    }
}

/// Whether the application knows what it has given a challenge of (RFC 7636).
fn check_proof(parameters: &Parameters, challenge: Option<&str>) -> Result<(), Problem> {
    let verifier = match parameters.get("code_verifier") {
        Some(Value::String(verifier)) => verifier,
        Some(_) => {
            return Err(Problem::invalid_request("code_verifier is not a string"));
        }
        None => {
            return Err(Problem::invalid_request(
                "code_verifier is required for PKCE authorization requests",
            ));
        }
    };
    if !(43..=128).contains(&verifier.len()) {
        return Err(Problem::invalid_request(
            "code_verifier must be between 43 and 128 characters",
        ));
    }
    let proof = BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()));
    let challenge = challenge.unwrap_or_default();
    verify_slices_are_equal(proof.as_bytes(), challenge.as_bytes())
        .map_err(|_| Problem::new("invalid_grant", "Invalid code"))
}

/// What stands behind `Basic`: a name, and a secret up to the next colon.
fn in_header(value: &[u8]) -> Option<(String, Option<String>)> {
    let at = memchr::memmem::find_iter(value, b"asic").find(|at| {
        let before = at.checked_sub(1).and_then(|before| value.get(before));
        matches!(before, Some(b'B' | b'b'))
    })?;
    let decoded = lenient::standard(value[at + 4..].trim_ascii())?;
    let decoded = String::from_utf8(decoded).ok()?;
    let mut parts = decoded.split(':').map(str::to_owned);
    Some((parts.next()?, parts.next()))
}

#[cfg(test)]
mod tests {
    use base64::prelude::BASE64_STANDARD;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn credentials_stand_behind_basic() {
        let header = |text: &str| format!("Basic {}", BASE64_STANDARD.encode(text));
        let read = |text: &str| in_header(header(text).as_bytes());
        let pair = |id: &str, secret: &str| Some((id.to_owned(), Some(secret.to_owned())));
        assert_eq!(read("id:secret"), pair("id", "secret"));
        assert_eq!(read("id:a:b"), pair("id", "a"));
        assert_eq!(read("id"), Some(("id".to_owned(), None)));
        assert_eq!(in_header(b"bearer aWQ6cw=="), None);
        assert_eq!(in_header(b"basic aWQ6cw"), pair("id", "s"));
        assert_eq!(in_header(b"asic aWQ6cw"), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_header_is_read_or_passed_over(value: Vec<u8>) {
            let _ = in_header(&[b"Basic ", &value[..]].concat());
        }
    }
}
