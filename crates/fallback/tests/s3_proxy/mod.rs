//! A server in front of the S3 server of the tests that misbehaves as it is told.
//!
//! ```ignore
//! let proxy = Proxy::start(s3_server::endpoint()).await;
//! let storage = open(&location, &proxy.settings()).unwrap();
//! proxy.add(When::put("config.json").once(), Fault::FailAfterwards(500));
//! ```
//!
//! Rules are looked through in their order and the first that applies is followed; what no rule
//! applies to is passed on. What passes is signed anew, since a signature covers the headers that a
//! fault takes away.

// Every test program uses some of it.
#![allow(dead_code)]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use keelgate_fallback::StorageSettings;
use object_store::aws::{AwsAuthorizer, AwsCredential};
use object_store::client::{
    ClientOptions, HttpClient, HttpConnector, HttpRequestBody, ReqwestConnector,
};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::s3_server;

/// What the proxy does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// Passes it on without its `If-Match` and `If-None-Match`: a store that ignores conditions.
    IgnoreConditions,
    /// Answers with this status and error code; the server never sees it.
    Refuse(u16, &'static str),
    /// The same, and asks to wait so many seconds.
    RefuseFor(u16, &'static str, u64),
    /// Passes it on, then answers with this status whatever the server said.
    FailAfterwards(u16),
    /// Passes it on, then answers nothing.
    StallAfterwards,
    /// Passes nothing on and answers nothing.
    Stall,
    /// Passes it on after this time.
    Delay(Duration),
    /// Passes it on when [`Proxy::release`] is called.
    Hold,
    /// Passes it on twice and answers what the server said the second time.
    Repeat,
    /// Closes the connection.
    Cut,
    /// Passes it on and answers with the first half of the body.
    Truncate,
}

/// Which requests a rule applies to.
#[derive(Clone, Debug, Default)]
pub(crate) struct When {
    method: Option<Method>,
    ends: &'static str,
    conditional: bool,
    times: Option<usize>,
}

impl When {
    /// Every request.
    pub(crate) fn any() -> Self {
        Self::default()
    }

    /// Requests with `If-Match` or `If-None-Match`.
    pub(crate) fn conditional() -> Self {
        Self {
            conditional: true,
            ..Self::default()
        }
    }

    /// Reads of keys that end so, and lists if it is empty.
    pub(crate) fn get(ends: &'static str) -> Self {
        Self::method(Method::GET, ends)
    }

    /// Writes of keys that end so.
    pub(crate) fn put(ends: &'static str) -> Self {
        Self::method(Method::PUT, ends)
    }

    /// Requests of one method to keys that end so.
    pub(crate) fn method(method: Method, ends: &'static str) -> Self {
        Self {
            method: Some(method),
            ends,
            ..Self::default()
        }
    }

    /// Only the first.
    pub(crate) fn once(self) -> Self {
        self.times(1)
    }

    /// Only the first so many.
    pub(crate) fn times(self, times: usize) -> Self {
        Self {
            times: Some(times),
            ..self
        }
    }

    fn takes(&mut self, request: &Seen) -> bool {
        let applies = self.method.as_ref().is_none_or(|is| request.method == *is)
            && request.uri.path().ends_with(self.ends)
            && (!self.conditional || request.is_conditional())
            && self.times != Some(0);
        if applies {
            self.times = self.times.map(|times| times - 1);
        }
        applies
    }
}

/// A request that came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Seen {
    fn is_conditional(&self) -> bool {
        CONDITIONS
            .iter()
            .any(|name| self.headers.contains_key(name))
    }

    /// A header as text; empty when there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }
}

const CONDITIONS: [header::HeaderName; 2] = [header::IF_MATCH, header::IF_NONE_MATCH];

/// The running proxy; it ends with the runtime of the test.
#[derive(Clone)]
pub(crate) struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    /// Where requests go; nowhere when the proxy only records.
    upstream: Option<(Uri, HttpClient)>,
    rules: Mutex<Vec<(When, Fault)>>,
    seen: Mutex<Vec<Seen>>,
    released: Notify,
}

impl Proxy {
    /// A proxy in front of the server at `endpoint`.
    pub(crate) async fn start(endpoint: &str) -> Self {
        let client = ReqwestConnector::default()
            .connect(&ClientOptions::new().with_allow_http(true))
            .unwrap();
        Self::listen(Some((endpoint.parse().unwrap(), client))).await
    }

    /// A server that only records: every write succeeds, and nothing is ever there.
    pub(crate) async fn recording() -> Self {
        Self::listen(None).await
    }

    async fn listen(upstream: Option<(Uri, HttpClient)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            address: listener.local_addr().unwrap(),
            state: Arc::new(State {
                upstream,
                rules: Mutex::default(),
                seen: Mutex::default(),
                released: Notify::new(),
            }),
        };
        let state = Arc::clone(&proxy.state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&state);
                let service = service_fn(move |request| {
                    let state = Arc::clone(&state);
                    async move { state.serve(request).await }
                });
                tokio::spawn(async move {
                    // A connection that a fault has cut is an error here.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        proxy
    }

    /// Its address, for `AWS_CONFIG_STORAGE_ENDPOINT`.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Settings with which a storage is reached through it.
    pub(crate) fn settings(&self) -> StorageSettings {
        let (key, secret) = s3_server::credentials();
        s3_server::settings(&self.endpoint(), &key, &secret)
    }

    /// Adds a rule after the others.
    pub(crate) fn add(&self, when: When, fault: Fault) {
        self.state.rules.lock().unwrap().push((when, fault));
    }

    /// Drops all rules.
    pub(crate) fn heal(&self) {
        self.state.rules.lock().unwrap().clear();
        self.release();
    }

    /// Lets go what is held now.
    pub(crate) fn release(&self) {
        self.state.released.notify_waiters();
    }

    /// What came so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }
}

type Body = BoxBody<Bytes, Closed>;

/// The first half of a body, then the end of the connection.
fn halved(body: Bytes) -> Body {
    let half = body.slice(..body.len() / 2);
    let sent = stream::once(async move { Ok(Frame::data(half)) });
    let end = stream::once(async {
        // What was sent is on its way only when there is something to wait for.
        tokio::task::yield_now().await;
        Err(Closed)
    });
    BodyExt::boxed(StreamBody::new(sent.chain(end)))
}

/// Why nothing is answered; hyper closes the connection.
#[derive(Debug)]
struct Closed;

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("closed on purpose")
    }
}

impl std::error::Error for Closed {}

impl State {
    async fn serve(&self, request: Request<Incoming>) -> Result<Response<Body>, Closed> {
        let (parts, body) = request.into_parts();
        let seen = Seen {
            method: parts.method,
            uri: parts.uri,
            headers: parts.headers,
            body: body.collect().await.map_err(|_| Closed)?.to_bytes(),
        };
        self.seen.lock().unwrap().push(seen.clone());
        let fault = {
            let mut rules = self.rules.lock().unwrap();
            let mut faults = rules
                .iter_mut()
                .filter_map(|(when, fault)| when.takes(&seen).then(|| fault.clone()));
            faults.next()
        };
        let answer = match fault {
            None => self.pass(seen).await,
            Some(Fault::IgnoreConditions) => {
                let mut seen = seen;
                for name in CONDITIONS {
                    seen.headers.remove(name);
                }
                self.pass(seen).await
            }
            Some(Fault::Refuse(status, code)) => refusal(status, code),
            Some(Fault::RefuseFor(status, code, seconds)) => {
                let mut answer = refusal(status, code);
                let headers = answer.headers_mut();
                headers.insert(header::RETRY_AFTER, seconds.into());
                answer
            }
            Some(Fault::FailAfterwards(status)) => {
                self.pass(seen).await;
                refusal(status, "InternalError")
            }
            Some(Fault::StallAfterwards) => {
                self.pass(seen).await;
                std::future::pending().await
            }
            Some(Fault::Stall) => std::future::pending().await,
            Some(Fault::Delay(time)) => {
                tokio::time::sleep(time).await;
                self.pass(seen).await
            }
            Some(Fault::Hold) => {
                self.released.notified().await;
                self.pass(seen).await
            }
            Some(Fault::Repeat) => {
                self.pass(seen.clone()).await;
                self.pass(seen).await
            }
            Some(Fault::Cut) => return Err(Closed),
            Some(Fault::Truncate) => return Ok(self.pass(seen).await.map(halved)),
        };
        Ok(answer.map(|body| Full::new(body).map_err(|never| match never {}).boxed()))
    }

    /// Lets the server answer.
    async fn pass(&self, seen: Seen) -> Response<Bytes> {
        let Some((upstream, client)) = &self.upstream else {
            return match seen.method {
                Method::PUT => Response::builder()
                    .header(header::ETAG, "\"recorded\"")
                    .body(Bytes::new())
                    .unwrap(),
                _ => refusal(404, "NoSuchKey"),
            };
        };
        let uri = Uri::builder()
            .scheme("http")
            .authority(upstream.authority().unwrap().clone())
            .path_and_query(seen.uri.path_and_query().unwrap().clone())
            .build()
            .unwrap();
        let mut request = Request::new(HttpRequestBody::from(seen.body));
        *request.method_mut() = seen.method;
        *request.uri_mut() = uri;
        *request.headers_mut() = seen.headers;
        for name in [header::HOST, header::AUTHORIZATION, header::CONTENT_LENGTH] {
            request.headers_mut().remove(name);
        }
        let (key_id, secret_key) = s3_server::credentials();
        let credential = AwsCredential {
            key_id,
            secret_key,
            token: None,
        };
        AwsAuthorizer::new(&credential, "s3", "us-east-1")
            .try_authorize(&mut request, None)
            .unwrap();
        let (parts, body) = client.execute(request).await.unwrap().into_parts();
        let mut answer = Response::from_parts(parts, body.bytes().await.unwrap());
        for name in [header::TRANSFER_ENCODING, header::CONNECTION] {
            answer.headers_mut().remove(name);
        }
        answer
    }
}

/// An answer as S3 refuses a request.
fn refusal(status: u16, code: &str) -> Response<Bytes> {
    let document = format!("<Error><Code>{code}</Code><Message>as told</Message></Error>");
    Response::builder()
        .status(StatusCode::from_u16(status).unwrap())
        .body(document.into())
        .unwrap()
}
