//! A node's Admin API on a real socket.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use keelgate_admin::{
    Access, Admin, Listener, LoadError, Loader, LogLevel, Mode, NodeInfo, Patience, Report, Status,
    serve,
};
use keelgate_entities::Schemas;
use keelgate_entities::declarative::Table;
use keelgate_entities::schema::{Field, PluginSchema};
use keelgate_store::{MemoryStore, SqliteStore, Store};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use uuid::Uuid;

/// An answer of the API.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    /// The body of an answer with the expected status.
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        if self.text.is_empty() {
            Value::Null
        } else {
            self.json()
        }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

/// A running API. It goes with the test's runtime.
pub struct Api {
    pub address: SocketAddr,
    pub store: Arc<dyn Store>,
    _directory: Option<TempDir>,
}

pub fn plugin_schemas() -> Vec<PluginSchema> {
    let echo = PluginSchema::new("echo", 10, "1.0.0")
        .field(Field::integer("limit").default(5))
        .field(Field::boolean("loud"));
    vec![echo]
}

fn schemas() -> Arc<Schemas> {
    Arc::new(Schemas::new(plugin_schemas()))
}

pub fn admin(store: Arc<dyn Store>, mode: Mode) -> Admin {
    let level = Arc::new(Mutex::new("notice".to_owned()));
    let set = Arc::clone(&level);
    Admin {
        store,
        node: NodeInfo {
            id: Uuid::nil(),
            hostname: "node.test".to_owned(),
            configuration: json!({"role": "traditional"}).as_object().unwrap().clone(),
            workers: 2,
            is_control_plane: false,
            allowed_origins: Vec::new(),
            body_limit: 8 << 20,
        },
        mode,
        data_planes: None,
        source_report: Arc::new(|| json!({"state": "following"})),
        server: Arc::new(|| json!({"connections_active": 1})),
        log: LogLevel {
            level: Arc::new(move || level.lock().unwrap().clone()),
            set_level: Arc::new(move |level, _| *set.lock().unwrap() = level.to_owned()),
        },
        metrics: Arc::new(|reachable| format!("up {}\n", u8::from(reachable))),
        access: Access::default(),
        audit: Some(std::time::Duration::from_secs(3600)),
        responses: None,
        acme: Arc::new(|| None),
        balancers: None,
    }
}

pub async fn start(router: axum::Router) -> SocketAddr {
    start_within(router, Patience::default()).await
}

/// One that waits for its clients no longer than that.
pub async fn start_within(router: axum::Router, patience: Patience) -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let listener = Listener { socket, tls: None };
    tokio::spawn(serve(
        vec![listener],
        router,
        patience,
        std::future::pending(),
    ));
    address
}

impl Api {
    /// With a database.
    pub async fn database() -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("keelgate.db");
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&path, schemas()).unwrap());
        let address = start(admin(Arc::clone(&store), Mode::Database).router()).await;
        Self {
            address,
            store,
            _directory: Some(directory),
        }
    }

    /// Without one.
    pub async fn dbless() -> Self {
        let store = Arc::new(MemoryStore::new(schemas()));
        let loader = Memory {
            store: Arc::clone(&store),
            hash: Mutex::new("0".repeat(32)),
        };
        let mode = Mode::Dbless(Arc::new(loader));
        let address = start(admin(Arc::clone(&store) as _, mode).router()).await;
        Self {
            address,
            store,
            _directory: None,
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        request(self.address, "GET", path, &[], "").await
    }

    /// A request with a JSON body.
    pub async fn send(&self, method: &str, path: &str, body: Value) -> Answer {
        let headers = [("content-type", "application/json")];
        request(self.address, method, path, &headers, body.to_string()).await
    }

    /// A request with a form.
    pub async fn form(&self, method: &str, path: &str, form: &str) -> Answer {
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        request(self.address, method, path, &headers, form.to_owned()).await
    }

    /// A request without a body.
    pub async fn bare(&self, method: &str, path: &str) -> Answer {
        request(self.address, method, path, &[], "").await
    }
}

pub async fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<bytes::Bytes>,
) -> Answer {
    let socket = tokio::net::TcpStream::connect(address).await.unwrap();
    request_on(socket, method, path, headers, body).await
}

/// A request on a connection of its own.
pub async fn request_on(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<bytes::Bytes>,
) -> Answer {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let mut request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("host", "admin.test");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(body.into())).unwrap();
    let response = sender.send_request(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        text: String::from_utf8(bytes.to_vec()).unwrap(),
    }
}

/// Loads into memory what a node would compile.
struct Memory {
    store: Arc<MemoryStore>,
    hash: Mutex<String>,
}

impl Loader for Memory {
    fn load(&self, table: Table, hash: &str) -> Result<(), LoadError> {
        let loaded = self.store.load(&table);
        loaded.map_err(|error| LoadError::Failed(error.to_string()))?;
        *self.hash.lock().unwrap() = hash.to_owned();
        Ok(())
    }

    fn hash(&self) -> String {
        self.hash.lock().unwrap().clone()
    }
}

/// A status API that is ready as long as `ready` says so.
pub async fn status_api(ready: Report<Result<(), String>>) -> SocketAddr {
    let store = Arc::new(MemoryStore::new(schemas()));
    let loader = Memory {
        store: Arc::clone(&store),
        hash: Mutex::new("0".repeat(32)),
    };
    let admin = admin(store, Mode::Dbless(Arc::new(loader)));
    start(
        Status {
            admin,
            ready,
            upstreams: true,
        }
        .router(),
    )
    .await
}
