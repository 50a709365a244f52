//! Requests that carry a token.

use std::sync::Arc;

use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use keelgate_entities::kinds::Consumer;

use super::answer::{self, Failure, Problem};
use super::handler::{OAuth2, seconds};
use super::parameters::Parameters;
use super::recent::{Name, Recent};
use super::stored::Token;
use crate::authentication::{admit, admit_anonymous};
use crate::body::{self, Format};
use crate::directory::Application;
use crate::exchange::Credential;
use crate::{Access, Exchange, Flow, arguments};

const SCOPE: HeaderName = HeaderName::from_static("x-authenticated-scope");
const USER: HeaderName = HeaderName::from_static("x-authenticated-userid");

/// Why a request is not let through.
enum Refusal {
    /// It carries no token.
    Missing,
    /// It carries one that is not good here.
    Invalid(&'static str),
}

const INVALID: Refusal = Refusal::Invalid("The access token is invalid or has expired");

/// Whom a token speaks for.
type Bearer<'r> = (Arc<Token>, &'r Application, &'r Consumer);

impl OAuth2 {
    /// Lets a request through that carries a good token. With an anonymous consumer, several
    /// authentication plugins are alternatives.
    pub(super) fn authenticate<'a, 'r: 'a>(&'r self, exchange: &'a mut Exchange<'r>) -> Access<'a> {
        if self.anonymous.is_some() && exchange.credential.is_some() {
            tell(exchange, None, None);
            return Access::Ready(Flow::Continue);
        }
        let token = self.take_token(exchange).filter(|token| !token.is_empty());
        let Some(token) = token else {
            return Access::Ready(self.refuse(exchange, &Refusal::Missing));
        };
        let name = Recent::name(&token);
        let records = self.records().ok();
        let recent = records.and_then(|records| self.recent.find(&name, records.generation()));
        if let Some(token) = recent {
            return Access::Ready(self.go_on(exchange, Some(token)));
        }
        Access::Pending(Box::pin(async move {
            match self.look_up(name, &token).await {
                Ok(token) => self.go_on(exchange, token),
                Err(failure) => Flow::Respond(Box::new(failure.answer())),
            }
        }))
    }

    async fn look_up(&self, name: Name, token: &str) -> Result<Option<Arc<Token>>, Failure> {
        let records = self.records()?;
        // Of before the question: what changes meanwhile is asked for anew.
        let generation = records.generation();
        let found = Token::find(records, "access_token", token).await?;
        let found = found.map(Arc::new);
        if let Some(token) = &found {
            self.recent.remember(name, generation, Arc::clone(token));
        }
        Ok(found)
    }

    /// Lets the request through if the token is good here.
    fn go_on<'r>(&'r self, exchange: &mut Exchange<'r>, token: Option<Arc<Token>>) -> Flow {
        let bearer = token
            .ok_or(INVALID)
            .and_then(|token| self.judge_token(exchange, token));
        match bearer {
            Ok(bearer) => {
                self.admit(exchange, bearer);
                Flow::Continue
            }
            Err(refusal) => self.refuse(exchange, &refusal),
        }
    }

    /// The token that the request carries, which does not go upstream where it is to be hidden.
    fn take_token(&self, exchange: &mut Exchange<'_>) -> Option<String> {
        let (token, in_header) = match exchange.headers.get(&self.header) {
            Some(value) => {
                let value = String::from_utf8_lossy(value.as_bytes());
                let mut words = value.split_ascii_whitespace();
                match (words.next(), words.next(), words.next()) {
                    (Some(scheme), Some(token), None) if is_bearer(scheme) => {
                        (token.to_owned(), true)
                    }
                    _ => (value.into_owned(), false),
                }
            }
            None => {
                let token = Parameters::of(exchange).text("access_token")?.to_owned();
                (token, false)
            }
        };
        if self.hides_credentials {
            match in_header {
                true => {
                    exchange.headers.remove(&self.header);
                }
                false => hide(exchange),
            }
        }
        Some(token)
    }

    fn judge_token(
        &self,
        exchange: &Exchange<'_>,
        token: Arc<Token>,
    ) -> Result<Bearer<'_>, Refusal> {
        let service = exchange.service.map(|service| service.id);
        match token.service {
            Some(of) if Some(of.0) != service => return Err(INVALID),
            None if !self.is_global => {
                return Err(Refusal::Invalid(
                    "The access token is global, but the current plugin is configured without \
                     'global_credentials'",
                ));
            }
            _ => (),
        }
        if token.is_over(seconds(exchange.times.received_at)) {
            return Err(INVALID);
        }
        let known = self.directory.application(token.credential.0);
        known
            .map(|(application, consumer)| (token, application, consumer))
            .ok_or(INVALID)
    }

    fn admit<'r>(&'r self, exchange: &mut Exchange<'r>, bearer: Bearer<'r>) {
        let (token, application, consumer) = bearer;
        let credential = Credential { id: application.id };
        let credential = (credential, application.header.clone());
        admit(exchange, &self.directory, consumer, Some(credential));
        tell(
            exchange,
            token.scope.as_deref(),
            token.authenticated_userid.as_deref(),
        );
    }

    fn refuse<'r>(&'r self, exchange: &mut Exchange<'r>, refusal: &Refusal) -> Flow {
        if let Some(anonymous) = &self.anonymous {
            tell(exchange, None, None);
            return admit_anonymous(exchange, &self.directory, anonymous);
        }
        let (problem, challenge) = match refusal {
            Refusal::Missing => (
                Problem::invalid_request("The access token is missing"),
                &self.challenges.bare,
            ),
            Refusal::Invalid(description) => (
                Problem::new("invalid_token", *description),
                &self.challenges.invalid_token,
            ),
        };
        let status = StatusCode::UNAUTHORIZED;
        Flow::Respond(Box::new(answer::challenge(
            status,
            &problem,
            challenge.clone(),
        )))
    }
}

fn is_bearer(scheme: &str) -> bool {
    scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token")
}

/// Takes the token out of the query and out of a form.
fn hide(exchange: &mut Exchange<'_>) {
    let query = exchange.query.as_deref().unwrap_or_default();
    if let Some(rest) = arguments::without(query, b"access_token") {
        exchange.query = (!rest.is_empty()).then_some(rest);
    }
    let format = Format::of(exchange.headers.get(CONTENT_TYPE));
    if exchange.method != Method::GET
        && format == Some(Format::Arguments)
        && let Some(mut form) = body::form(exchange)
        && form.remove("access_token")
    {
        let rest = form.encode();
        body::set(exchange, rest);
    }
}

/// Tells the upstream for whom and for what the token is; what a client says of that goes.
fn tell(exchange: &mut Exchange<'_>, scope: Option<&str>, user: Option<&str>) {
    for (name, text) in [(SCOPE, scope), (USER, user)] {
        match text.and_then(|text| HeaderValue::from_bytes(text.as_bytes()).ok()) {
            Some(value) => {
                exchange.headers.insert(name, value);
            }
            None => {
                exchange.headers.remove(name);
            }
        }
    }
}
