//! A real HTTP server behind the gateway.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::http::{HeaderMap, Method, Uri};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use futures_util::StreamExt;
use serde_json::{Map, Value, json};

use crate::wait;

/// An echo server: answers every request with what it received, in JSON. `/ws` echoes WebSocket
/// messages, `/stream` returns the request body as it comes in, `/slow` answers after 500 ms.
pub struct Upstream {
    /// Where it listens.
    pub address: SocketAddr,
    counts: Arc<Counts>,
}

/// What the requests have come to.
#[derive(Default)]
struct Counts {
    /// Answered by the echo endpoint.
    answered: AtomicU64,
    /// Begun on `/slow`.
    slow: AtomicU64,
}

impl Upstream {
    /// Starts on a free port of the current runtime.
    pub async fn start() -> Self {
        let counts = Arc::<Counts>::default();
        let app = Router::new()
            .route("/ws", get(websocket))
            .route("/stream", axum::routing::post(stream))
            .route("/slow", get(slow))
            .fallback(echo)
            .with_state(Arc::clone(&counts));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("bind the upstream");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, counts }
    }

    /// The base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests the echo endpoint has answered.
    pub fn hits(&self) -> u64 {
        self.counts.answered.load(Ordering::Relaxed)
    }

    /// Waits until this many requests for `/slow` have arrived.
    pub async fn has_slow(&self, count: u64) {
        wait::until("the request to reach the upstream", || async {
            let arrived = self.counts.slow.load(Ordering::Relaxed);
            (arrived >= count).then_some(()).ok_or(arrived)
        })
        .await;
    }
}

async fn echo(
    State(counts): State<Arc<Counts>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Json<Value> {
    counts.answered.fetch_add(1, Ordering::Relaxed);
    let headers: Map<String, Value> = headers
        .iter()
        .map(|(name, value)| {
            (
                name.to_string(),
                String::from_utf8_lossy(value.as_bytes()).into(),
            )
        })
        .collect();
    Json(json!({
        "method": method.as_str(),
        "path": uri.path(),
        "query": uri.query(),
        "headers": headers,
        "body": String::from_utf8_lossy(&body),
    }))
}

async fn slow(
    state: State<Arc<Counts>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Json<Value> {
    state.slow.fetch_add(1, Ordering::Relaxed);
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    echo(state, method, uri, headers, Bytes::new()).await
}

async fn stream(body: Body) -> Response {
    Body::from_stream(body.into_data_stream()).into_response()
}

async fn websocket(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(|mut socket| async move {
        while let Some(Ok(message)) = socket.next().await {
            if !matches!(message, Message::Text(_) | Message::Binary(_)) {
                continue;
            }
            if socket.send(message).await.is_err() {
                break;
            }
        }
    })
}
