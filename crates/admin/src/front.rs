//! What happens to every request before and after its handler.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_REQUEST_HEADERS, ALLOW, ORIGIN, SERVER,
};
use http::uri::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use percent_encoding::percent_decode_str;
use tower::ServiceExt;

use crate::access::Access;
use crate::failure::Failure;
use crate::peer::{Caller, Peer};

const LATENCY: HeaderName = HeaderName::from_static("x-kong-admin-latency");
const PRODUCT: HeaderValue =
    HeaderValue::from_static(concat!("keelgate/", env!("CARGO_PKG_VERSION")));

/// The origin of the pages at a URL: without its path.
pub(crate) fn origin(url: &str) -> String {
    match url.parse::<Uri>().map(Uri::into_parts) {
        Ok(Parts {
            scheme: Some(scheme),
            authority: Some(authority),
            ..
        }) => format!("{scheme}://{authority}"),
        _ => url.to_owned(),
    }
}

/// Lets in who may use the routes, and says who it is.
pub(crate) fn guarded(routes: Router, access: Arc<Access>) -> Router {
    Router::new().fallback(async move |mut request: Request| {
        let peer = request.extensions().get::<Peer>().cloned();
        let path = request.uri().path();
        let caller = match access.admit(request.method(), path, request.headers()) {
            Ok(credential) => Caller::new(credential, peer),
            Err(refused) => {
                tracing::warn!(?refused, ?peer, "an Admin API request was refused");
                return refused.into_response();
            }
        };
        request.extensions_mut().insert(caller);
        forward(routes, request).await
    })
}

/// Puts the routes behind the front: trailing slashes, cross-origin headers, latency.
pub(crate) fn behind(routes: Router, origins: Arc<[String]>) -> Router {
    Router::new().fallback(async move |request: Request| {
        let started = Instant::now();
        let origin = allowed_origin(request.headers(), &origins);
        // Kong lets any page use the credentials of its user where no list says otherwise.
        let knows_caller = !origins.is_empty() || !request.headers().contains_key(ORIGIN);
        let requested = (request.method() == Method::OPTIONS)
            .then(|| {
                request
                    .headers()
                    .get(ACCESS_CONTROL_REQUEST_HEADERS)
                    .cloned()
            })
            .flatten();
        let mut response = route(routes, request).await;
        let refused = response.status() == StatusCode::METHOD_NOT_ALLOWED;
        let headers = response.headers_mut();
        if refused {
            // Clients compare with Kong, which lists methods in answers to OPTIONS only.
            headers.remove(ALLOW);
        }
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if knows_caller {
            headers.insert(
                ACCESS_CONTROL_ALLOW_CREDENTIALS,
                HeaderValue::from_static("true"),
            );
        }
        if let (Some(requested), true) = (
            requested,
            headers.contains_key(ACCESS_CONTROL_ALLOW_HEADERS),
        ) {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, requested);
        }
        headers.insert(SERVER, PRODUCT);
        headers.insert(LATENCY, (started.elapsed().as_millis() as u64).into());
        response
    })
}

async fn route(routes: Router, mut request: Request) -> Response {
    match normalise(request.uri()) {
        Some(uri) => *request.uri_mut() = uri,
        None => return Failure::Page(StatusCode::BAD_REQUEST).into_response(),
    }
    forward(routes, request).await
}

async fn forward(routes: Router, request: Request) -> Response {
    match routes.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// Drops one slash from the end, so that `/services/` is `/services`. A plus stands for a space, as
/// in forms. A path with a parent directory in it is none.
fn normalise(uri: &Uri) -> Option<Uri> {
    let path = uri.path();
    let climbs = path
        .split('/')
        .any(|part| percent_decode_str(part).eq(*b".."));
    if climbs {
        return None;
    }
    let path = match path.strip_suffix('/') {
        Some("") | None => path,
        Some(shorter) => shorter,
    };
    let path = path.replace('+', "%20");
    let target = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    target.parse().ok()
}

/// With a list of origins only those may read answers; without one, any, but without credentials.
fn allowed_origin(headers: &HeaderMap, origins: &[String]) -> HeaderValue {
    let asking = headers.get(ORIGIN);
    let Some(first) = origins.first() else {
        return asking.cloned().unwrap_or(HeaderValue::from_static("*"));
    };
    match asking {
        Some(asking) if origins.iter().any(|origin| asking == origin.as_str()) => asking.clone(),
        _ => HeaderValue::from_str(first).unwrap_or(HeaderValue::from_static("null")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_trailing_slash_is_dropped() {
        let path = |text: &str| normalise(&text.parse().unwrap()).unwrap().to_string();
        assert_eq!(path("/services/"), "/services");
        assert_eq!(path("/services/?size=1"), "/services?size=1");
        assert_eq!(path("/services//"), "/services/");
        assert_eq!(path("/services/a+b?tags=a+b"), "/services/a%20b?tags=a+b");
        assert_eq!(path("/"), "/");
    }

    #[test]
    fn parent_directories_are_refused() {
        for path in ["/../services", "/%2e%2e/services", "/services/.%2E"] {
            assert_eq!(normalise(&path.parse().unwrap()), None, "{path}");
        }
    }

    #[test]
    fn a_list_of_origins_keeps_others_out() {
        let origins = [origin("https://gui.test/manager")];
        let mut headers = HeaderMap::new();
        headers.insert(ORIGIN, HeaderValue::from_static("https://evil.test"));
        assert_eq!(allowed_origin(&headers, &origins), "https://gui.test");
        assert_eq!(allowed_origin(&headers, &[]), "https://evil.test");
    }
}
