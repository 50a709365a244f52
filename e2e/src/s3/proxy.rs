//! A store between a node and the S3 server under test, which passes requests on and misbehaves in
//! one way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use object_store::aws::AwsAuthorizer;
use object_store::client::{HttpRequest, HttpRequestBody};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{REGION, Server};
use crate::wait::PATIENCE;

/// Larger than any snapshot of a test.
const BODY_LIMIT: usize = 16 << 20;

/// In which way the store misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Not at all.
    Faithful,
    /// Writes whatever `If-Match` and `If-None-Match` ask, as some stores do that speak S3.
    IgnoresConditions,
    /// Answers 403 in place of 404, as S3 does to those who may not list.
    HidesAbsence,
    /// Answers 503 to everything.
    Away,
}

/// The running store, until dropped.
pub struct Proxy {
    /// What `AWS_CONFIG_STORAGE_ENDPOINT` is set to.
    pub endpoint: String,
    behaviour: watch::Sender<Behaviour>,
    ignored: Arc<AtomicU64>,
    held: watch::Sender<Held>,
    task: JoinHandle<()>,
}

/// What becomes of a write that is on its way for long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    /// No write is waited for.
    Nothing,
    /// The next write of `config.json` is to be held.
    Armed,
    /// It has come and waits.
    Waiting,
    /// It may go on.
    Released,
    /// It has reached the storage, which answered this.
    Landed(StatusCode),
}

#[derive(Clone)]
struct Store {
    server: Server,
    client: reqwest::Client,
    behaviour: watch::Receiver<Behaviour>,
    ignored: Arc<AtomicU64>,
    held: watch::Sender<Held>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// Starts it before `server`.
    pub async fn start(server: Server, behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let (behaviour, heard) = watch::channel(behaviour);
        let ignored = Arc::new(AtomicU64::new(0));
        let held = watch::Sender::new(Held::Nothing);
        let store = Store {
            server,
            client: reqwest::Client::new(),
            behaviour: heard,
            ignored: Arc::clone(&ignored),
            held: held.clone(),
        };
        let router = Router::new().fallback(pass).with_state(store);
        let task = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("serve");
        });
        Self {
            endpoint: format!("http://{address}"),
            behaviour,
            ignored,
            held,
            task,
        }
    }

    /// From now on it behaves like this.
    pub fn behave(&self, behaviour: Behaviour) {
        self.behaviour.send_replace(behaviour);
    }

    /// The next write of `config.json` stays on its way until [`Proxy::release`], whatever becomes of
    /// who sent it.
    pub fn hold(&self) {
        self.held.send_replace(Held::Armed);
    }

    /// Waits until that write is on its way.
    pub async fn holds(&self) {
        self.is(|held| held == Held::Waiting).await;
    }

    /// Lets that write arrive, and returns what the storage answered.
    pub async fn release(&self) -> u16 {
        self.held.send_replace(Held::Released);
        match self.is(|held| matches!(held, Held::Landed(_))).await {
            Held::Landed(status) => status.as_u16(),
            other => unreachable!("waited for the answer, got {other:?}"),
        }
    }

    async fn is(&self, wanted: impl Fn(Held) -> bool) -> Held {
        let mut held = self.held.subscribe();
        let seen = timeout(PATIENCE, held.wait_for(|held| wanted(*held))).await;
        let seen = seen.unwrap_or_else(|_| panic!("the held write is {:?}", self.held.borrow()));
        *seen.expect("the proxy lives")
    }

    /// How many conditions were ignored.
    pub fn ignored(&self) -> u64 {
        self.ignored.load(Ordering::Relaxed)
    }
}

async fn pass(State(store): State<Store>, request: Request) -> Response {
    let behaviour = *store.behaviour.borrow();
    if behaviour == Behaviour::Away {
        return (StatusCode::SERVICE_UNAVAILABLE, "").into_response();
    }
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_LIMIT).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let is_write = head.method == Method::PUT && head.uri.path().ends_with("/config.json");
    let holds = is_write
        && store.held.send_if_modified(|held| {
            let armed = *held == Held::Armed;
            if armed {
                *held = Held::Waiting;
            }
            armed
        });
    if !holds {
        return forward(&store, behaviour, head, body).await;
    }
    // A task of its own: it goes on when the client is dead.
    let late = tokio::spawn(async move {
        let mut held = store.held.subscribe();
        let released = held.wait_for(|held| *held == Held::Released).await;
        released.expect("the store holds a sender");
        let answer = forward(&store, behaviour, head, body).await;
        store.held.send_replace(Held::Landed(answer.status()));
        answer
    });
    late.await.expect("forwarding does not panic")
}

/// Passes a request on.
async fn forward(store: &Store, behaviour: Behaviour, mut head: Parts, body: Bytes) -> Response {
    let path = head
        .uri
        .path_and_query()
        .map_or("/", |path| path.as_str())
        .to_owned();
    let url = format!("{}{path}", store.server.endpoint);
    if behaviour == Behaviour::IgnoresConditions && head.method == Method::PUT {
        let conditions = [header::IF_MATCH, header::IF_NONE_MATCH];
        if conditions
            .iter()
            .filter(|name| head.headers.remove(*name).is_some())
            .count()
            > 0
        {
            store.ignored.fetch_add(1, Ordering::Relaxed);
            // The signature covers the conditions.
            head.headers = signed(&store.server, &head.method, &url, head.headers, &body);
        }
    }
    let is_read = head.method == Method::GET || head.method == Method::HEAD;
    let answer = store
        .client
        .request(head.method, url)
        .headers(head.headers)
        .body(body)
        .send()
        .await;
    let Ok(answer) = answer else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    let status = answer.status();
    if behaviour == Behaviour::HidesAbsence && is_read && status == StatusCode::NOT_FOUND {
        return denied();
    }
    let mut headers = answer.headers().clone();
    headers.remove(header::TRANSFER_ENCODING);
    let body = match answer.bytes().await {
        Ok(body) => Body::from(body),
        Err(_) => return StatusCode::BAD_GATEWAY.into_response(),
    };
    (status, headers, body).into_response()
}

/// The headers of the request without its signature, signed anew.
fn signed(
    server: &Server,
    method: &Method,
    url: &str,
    mut headers: HeaderMap,
    body: &Bytes,
) -> HeaderMap {
    for name in [
        "authorization",
        "x-amz-date",
        "x-amz-content-sha256",
        "host",
    ] {
        headers.remove(name);
    }
    let mut request = HttpRequest::new(HttpRequestBody::from(body.clone()));
    *request.method_mut() = method.clone();
    *request.uri_mut() = url
        .parse()
        .expect("the server's address and a path make a URL");
    *request.headers_mut() = headers;
    AwsAuthorizer::new(&server.credential(), "s3", REGION)
        .try_authorize(&mut request, None)
        .expect("a body in memory can be signed");
    request.headers().clone()
}

fn denied() -> Response {
    let body = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
    let kind = [(header::CONTENT_TYPE, "application/xml")];
    (StatusCode::FORBIDDEN, kind, body).into_response()
}
