//! One request, as the handlers see it.

use axum::extract::{FromRequest, FromRequestParts, MatchedPath, RawPathParams, Request};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::{HeaderMap, Method, StatusCode};

use keelgate_entities::Object;

use crate::failure::Failure;
use crate::peer::Caller;
use crate::server::Patience;

/// A request that a path and a method were found for.
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    path: Vec<(String, String)>,
    query: Vec<(String, String)>,
    caller: Caller,
    /// The path as the table of routes has it: parts that vary, which may be secrets, are named.
    route: String,
}

impl Call {
    /// What the audit log says of who makes a change by this call.
    pub(crate) fn author(&self) -> Object {
        self.caller
            .about(&format!("{} {}", self.method, self.route))
    }

    /// A part of the path by its name, decoded.
    pub(crate) fn segment(&self, name: &str) -> &str {
        let found = self.path.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value)
    }

    /// Puts another value in the place of a part of the path.
    pub(crate) fn name(&mut self, name: &str, value: String) {
        let found = self.path.iter_mut().find(|(key, _)| key == name);
        if let Some((_, current)) = found {
            *current = value;
        }
    }

    /// The first value of a query argument.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.queries(name).next()
    }

    /// All values of a query argument.
    pub(crate) fn queries(&self, name: &str) -> impl Iterator<Item = &str> {
        let matching = self.query.iter().filter(move |(key, _)| key == name);
        matching.map(|(_, value)| value.as_str())
    }

    /// The media type of the body, in lower case, with its parameters.
    pub(crate) fn content_type(&self) -> String {
        content_type(&self.headers)
    }
}

fn content_type(headers: &HeaderMap) -> String {
    let value = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}

impl<S: Send + Sync> FromRequest<S> for Call {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let (mut parts, body) = request.into_parts();
        let caller = parts.extensions.get::<Caller>().cloned();
        let route = parts.extensions.get::<MatchedPath>();
        let route = route.map_or_else(String::new, |route| route.as_str().to_owned());
        let path = RawPathParams::from_request_parts(&mut parts, state)
            .await
            .map_err(|_| Failure::Page(StatusCode::BAD_REQUEST))?;
        let path = path
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let query = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
            .into_owned()
            .collect();
        if !accepts(&parts) {
            return Err(Failure::Page(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        let (method, headers) = (parts.method.clone(), parts.headers.clone());
        let patience = parts.extensions.get::<Patience>();
        let patience = patience.copied().unwrap_or_default();
        let reading = Bytes::from_request(Request::from_parts(parts, body), state);
        let body = tokio::time::timeout(patience.body, reading)
            .await
            .map_err(|_| Failure::Page(StatusCode::REQUEST_TIMEOUT))?
            .map_err(|rejection| Failure::Page(rejection.status()))?;
        Ok(Self {
            method,
            headers,
            body,
            path,
            query,
            caller: caller.unwrap_or_default(),
            route,
        })
    }
}

/// Whether the body of a write is of a type that can be read.
fn accepts(parts: &http::request::Parts) -> bool {
    if ![Method::POST, Method::PUT, Method::PATCH].contains(&parts.method) {
        return true;
    }
    let given = content_type(&parts.headers);
    if given.is_empty() {
        let length = parts.headers.get(CONTENT_LENGTH);
        let empty = length.is_none_or(|length| length == "0");
        return empty && !parts.headers.contains_key(TRANSFER_ENCODING);
    }
    let mut known = vec![
        "application/json",
        "multipart/form-data",
        "application/x-www-form-urlencoded",
    ];
    if parts.uri.path() == "/config" {
        known.extend(["application/yaml", "text/yaml"]);
    }
    known.iter().any(|known| given.starts_with(known))
}
