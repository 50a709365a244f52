//! The table of paths and methods.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter};
use http::header::{ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ALLOW};
use http::{HeaderValue, Method, StatusCode};

use crate::admin::State;
use crate::call::Call;
use crate::failure::Failure;

/// What a handler answers.
pub(crate) type Outcome = Result<Response, Failure>;

/// Endpoints by path.
#[derive(Default)]
pub(crate) struct Routes {
    paths: BTreeMap<String, Endpoint>,
}

/// What the bodies of a path are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bodies {
    /// A page of entities of this kind; a new one is posted to it.
    Collection(&'static str),
    /// An entity of this kind.
    Single(&'static str),
}

/// A path, as descriptions of the API have it.
#[derive(Clone, Debug)]
pub(crate) struct Described {
    pub(crate) path: String,
    /// In order, without `OPTIONS` and `HEAD`.
    pub(crate) methods: Vec<String>,
    pub(crate) bodies: Option<Bodies>,
}

/// The methods of one path.
#[derive(Default)]
struct Endpoint {
    bodies: Option<Bodies>,
    methods: BTreeMap<String, MethodRouter<Arc<State>>>,
    disabled: bool,
}

impl Routes {
    /// Sets one method of a path, in the place of an earlier handler of the same; parts of the path
    /// that vary are written `{name}`.
    pub(crate) fn on<H, F>(&mut self, method: Method, path: &str, handler: H)
    where
        H: Fn(Arc<State>, Call) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Outcome> + Send + 'static,
    {
        // Every method in use is a standard one, so the conversion cannot fail.
        let Ok(filter) = MethodFilter::try_from(method.clone()) else {
            return;
        };
        let route = move |state: axum::extract::State<Arc<State>>, call: Call| {
            let handler = handler.clone();
            async move { handler(state.0, call).await }
        };
        let endpoint = self.paths.entry(path.to_owned()).or_default();
        let router = MethodRouter::new().on(filter, route);
        endpoint.methods.insert(method.to_string(), router);
    }

    /// Sets a limit of its own on the bodies that a path takes.
    pub(crate) fn limit(&mut self, path: &str, limit: DefaultBodyLimit) {
        if let Some(endpoint) = self.paths.get_mut(path) {
            for router in endpoint.methods.values_mut() {
                *router = std::mem::take(router).layer(limit);
            }
        }
    }

    /// Makes a path answer 404 to every method.
    pub(crate) fn disable(&mut self, path: &str) {
        let endpoint = self.paths.entry(path.to_owned()).or_default();
        endpoint.disabled = true;
    }

    /// Says what the bodies of a path are.
    pub(crate) fn bodies(&mut self, path: &str, bodies: Bodies) {
        let endpoint = self.paths.entry(path.to_owned()).or_default();
        endpoint.bodies = Some(bodies);
    }

    /// All paths, sorted segment by segment.
    pub(crate) fn describe(&self) -> Vec<Described> {
        let described = self.paths.iter().map(|(path, endpoint)| Described {
            path: path.clone(),
            methods: match endpoint.disabled {
                true => Vec::new(),
                false => endpoint.methods.keys().cloned().collect(),
            },
            bodies: endpoint.bodies,
        });
        let mut described: Vec<_> = described.collect();
        described.sort_by_key(|described| described.path.replace('/', "\0"));
        described
    }

    /// The router: `HEAD` where there is `GET`, `OPTIONS` everywhere, 404 and 405 in JSON.
    pub(crate) fn into_router(self, state: Arc<State>) -> Router {
        let mut router = Router::new();
        for (path, endpoint) in self.paths {
            router = if endpoint.disabled {
                router.route(&path, axum::routing::any(not_found))
            } else {
                router.route(&path, with_options(endpoint))
            };
        }
        router
            .fallback(not_found)
            .method_not_allowed_fallback(async |method: Method| match method {
                Method::TRACE => Failure::Page(StatusCode::METHOD_NOT_ALLOWED),
                _ => Failure::message(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed"),
            })
            .with_state(state)
    }
}

async fn not_found() -> Failure {
    Failure::not_found()
}

fn with_options(endpoint: Endpoint) -> MethodRouter<Arc<State>> {
    let mut names: Vec<_> = endpoint.methods.keys().cloned().collect();
    if endpoint.methods.contains_key("GET") {
        names.push("HEAD".to_owned());
    }
    names.push("OPTIONS".to_owned());
    names.sort_unstable();
    let handlers = endpoint.methods.into_values();
    let handlers = handlers.fold(MethodRouter::new(), MethodRouter::merge);
    let allow = HeaderValue::try_from(names.join(", "))
        .unwrap_or_else(|_| HeaderValue::from_static("OPTIONS"));
    handlers.options(async move || {
        let headers = [
            (ALLOW, allow.clone()),
            (ACCESS_CONTROL_ALLOW_METHODS, allow),
            (
                ACCESS_CONTROL_ALLOW_HEADERS,
                HeaderValue::from_static("Content-Type"),
            ),
        ];
        (StatusCode::NO_CONTENT, headers).into_response()
    })
}
