//! The authorization endpoint: what the login page asks for once a user has consented.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::StatusCode;
use serde_json::json;
use uuid::Uuid;

use super::answer::{self, Failure, Fields, Problem};
use super::handler::OAuth2;
use super::parameters::Parameters;
use super::redirect::{self, Part};
use super::scope;
use super::stored::{CODE_LASTS, CODES};
use super::token::{Grant, record};
use crate::records::NewRecord;
use crate::{Exchange, Response, base64 as lenient};

/// What the user has consented to.
struct Consent {
    application: Uuid,
    response: ResponseKind,
    scope: Option<String>,
    challenge: Option<String>,
}

/// What the application is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ResponseKind {
    Code,
    Token,
}

/// A request that was looked at: whether it is granted, and where the user goes.
struct Judged<'d> {
    consent: Result<Consent, Problem>,
    redirect: Option<&'d str>,
}

impl OAuth2 {
    /// Answers the authorization endpoint.
    pub(super) async fn authorize(&self, exchange: &Exchange<'_>) -> Result<Response, Failure> {
        let parameters = Parameters::of(exchange);
        let (redirect, outcome) = match self.check_page(exchange, &parameters) {
            Err(problem) => (None, Err(problem)),
            Ok(user) => {
                let judged = self.judge_consent(&parameters);
                let outcome = match judged.consent {
                    Ok(consent) => Ok(self.give(exchange, user, &consent).await?),
                    Err(problem) => Err(problem),
                };
                (judged.redirect, outcome)
            }
        };
        let (status, mut fields, part) = match outcome {
            Ok((fields, part)) => (StatusCode::OK, fields, part),
            Err(problem) => (StatusCode::BAD_REQUEST, problem.fields(), Part::Query),
        };
        if let Some(state) = parameters.get("state") {
            fields.insert("state".to_owned(), state.clone());
        }
        if let Some(uri) = redirect {
            let address = redirect::with(uri, &fields, part);
            fields = record(json!({ "redirect_uri": address }));
        }
        Ok(answer::private(status, &fields))
    }

    /// Whether it is the login page that asks, and for whom.
    fn check_page<'p>(
        &self,
        exchange: &Exchange<'_>,
        parameters: &'p Parameters,
    ) -> Result<&'p str, Problem> {
        self.check_tls(exchange)?;
        if !self.is_provisioned(parameters) {
            return Err(Problem::invalid_provision_key());
        }
        parameters.user().ok_or_else(Problem::missing_user)
    }

    /// Of several problems, applications are told the last.
    fn judge_consent(&self, parameters: &Parameters) -> Judged<'_> {
        let mut problem = None;
        let response = match parameters.text("response_type") {
            Some("code") if self.grants.code => Some(ResponseKind::Code),
            Some("token") if self.grants.implicit => Some(ResponseKind::Token),
            _ => {
                let description = "Invalid response_type";
                problem = Some(Problem::new("unsupported_response_type", description));
                None
            }
        };
        let known = self.scopes.as_deref();
        let scope = scope::asked(parameters.get("scope"), known, self.is_scope_mandatory)
            .unwrap_or_else(|scope| {
                problem = Some(scope);
                None
            });
        let client = parameters.text("client_id");
        let client = client.and_then(|client_id| self.directory.client(client_id));
        let redirects = client.and_then(|client| client.redirect_uris.as_deref());
        let redirect = match redirects {
            None => {
                problem = Some(Problem::invalid_client());
                None
            }
            Some(known) => {
                let chosen = redirect::chosen(parameters.get("redirect_uri"), known);
                if chosen.is_none() {
                    problem = Some(Problem::foreign_redirect());
                }
                // The user goes where the application is at home.
                chosen.or_else(|| known.first().map(String::as_str))
            }
        };
        let challenge = challenge(parameters).unwrap_or_else(|description| {
            problem = Some(Problem::invalid_request(description));
            None
        });
        let is_challenged =
            challenge.is_some() || parameters.get("code_challenge_method").is_some();
        if let Some(client) = client
            && !is_challenged
            && self.needs_proof(client)
        {
            let kind = client.client_type.as_str();
            problem = Some(Problem::invalid_request(format!(
                "code_challenge is required for {kind} clients"
            )));
        }
        let consent = match (problem, client, response) {
            (None, Some(client), Some(response)) => Ok(Consent {
                application: client.id,
                response,
                scope,
                challenge,
            }),
            (Some(problem), ..) => Err(problem),
            (None, ..) => Err(Problem::invalid_client()),
        };
        Judged { consent, redirect }
    }

    /// What the application is given, and in which part of the address.
    async fn give(
        &self,
        exchange: &Exchange<'_>,
        user: &str,
        consent: &Consent,
    ) -> Result<(Fields, Part), Failure> {
        let (records, service) = (self.records()?, self.service(exchange)?);
        if consent.response == ResponseKind::Token {
            let grant = Grant {
                application: consent.application,
                service,
                user: Some(user),
                scope: consent.scope.as_deref(),
                is_refreshable: false,
                instead_of: None,
            };
            let granted = self.grant(records, grant).await?;
            return Ok((granted.unwrap_or_default(), Part::Fragment));
        }
        let fields = record(json!({
            "service": service.map(|id| json!({ "id": id })),
            "credential": { "id": consent.application },
            "authenticated_userid": user,
            "scope": consent.scope,
            "challenge": consent.challenge,
            "challenge_method": consent.challenge.as_ref().map(|_| "S256"),
            "plugin": { "id": self.id },
        }));
        let code = NewRecord {
            kind: CODES,
            fields,
            lasts: Some(CODE_LASTS),
        };
        let made = records.make(code, None).await?.unwrap_or_default();
        let told = record(json!({ "code": made.get("code") }));
        Ok((told, Part::Query))
    }
}

/// What the application will prove that it knows (RFC 7636), in its one form.
fn challenge(parameters: &Parameters) -> Result<Option<String>, &'static str> {
    let method = parameters.get("code_challenge_method");
    let Some(challenge) = parameters.text("code_challenge") else {
        return match method {
            Some(_) => Err("code_challenge is required when code_method is present"),
            None => Ok(None),
        };
    };
    match method.map(|method| method.as_str()) {
        None | Some(Some("S256" | "s256")) => {}
        Some(_) => return Err("code_challenge_method is not supported, must be S256"),
    }
    let decoded = lenient::url_safe(challenge.as_bytes());
    Ok(Some(match decoded {
        Some(decoded) => BASE64_URL_SAFE_NO_PAD.encode(decoded),
        None => challenge.to_owned(),
    }))
}
