//! What the composition gives to the Admin API, and its router.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use keelgate_entities::declarative::{DeclarativeError, Table};
use keelgate_entities::{Object, Schemas};
use keelgate_store::Store;
use serde_json::Value;
use uuid::Uuid;

use crate::access::Access;
use crate::balancers::Balancers;
use crate::routes::{Described, Routes};
use crate::{entity, front, node};

/// What the Admin API tells of the node that it runs on.
#[derive(Clone, Debug)]
pub struct NodeInfo {
    /// Identity of the node.
    pub id: Uuid,
    /// Name of the machine.
    pub hostname: String,
    /// All settings that are in force. Secrets must be masked already.
    pub configuration: Object,
    /// Processor cores that requests are served on.
    pub workers: usize,
    /// Whether the node is a control plane, and so has data planes to tell of.
    pub is_control_plane: bool,
    /// URLs of web pages that may use the Admin API with the credentials of their users; when
    /// empty, any page may use it, without credentials.
    pub allowed_origins: Vec<String>,
    /// Most bytes of a request body; the whole configuration of a node without a database has a
    /// limit of its own.
    pub body_limit: usize,
}

/// Where the configuration comes from.
#[derive(Clone)]
pub enum Mode {
    /// The store is written to through this API.
    Database,
    /// The whole configuration is replaced by `POST /config`.
    Dbless(Arc<dyn Loader>),
}

/// Activates a whole configuration on a node without a database.
pub trait Loader: Send + Sync {
    /// Compiles the table and makes it the one that is served; on success the store shows it, too.
    /// Blocks; `hash` is the MD5 of the configuration text, or of what stands for it.
    ///
    /// # Errors
    ///
    /// [`LoadError`] when it cannot be served; what was served before goes on.
    fn load(&self, table: Table, hash: &str) -> Result<(), LoadError>;

    /// The hash of the configuration that is served; 32 zeros when there is none.
    fn hash(&self) -> String;
}

/// Why a configuration was not activated.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It contradicts itself; told to the client.
    #[error(transparent)]
    Refused(#[from] DeclarativeError),
    /// Another configuration is being loaded.
    #[error("another configuration is being loaded")]
    Busy,
    /// The node is stopping.
    #[error("the node is stopping")]
    Stopping,
    /// Something else, which the log tells.
    #[error("{0}")]
    Failed(String),
}

/// The data planes of a control plane.
pub trait DataPlanes: Send + Sync {
    /// One object for each data plane: `id`, `hostname`, `ip`, `version`, `config_hash`,
    /// `last_seen`, `sync_status`, …
    fn list(&self) -> Vec<Value>;
}

/// Text or a value that is made when it is asked for.
pub type Report<T> = Arc<dyn Fn() -> T + Send + Sync>;

/// Everything that the Admin API works on.
#[derive(Clone)]
pub struct Admin {
    /// The entities.
    pub store: Arc<dyn Store>,
    /// About the node.
    pub node: NodeInfo,
    /// Where the configuration comes from.
    pub mode: Mode,
    /// The data planes; none on other nodes than control planes.
    pub data_planes: Option<Arc<dyn DataPlanes>>,
    /// The source report, for `/status`; null where there is none.
    pub source_report: Report<Value>,
    /// Connections and requests of the proxy, as `server` in `/status` tells them:
    /// `connections_active`, `connections_accepted`, `total_requests`, …
    pub server: Report<Value>,
    /// The level of the log.
    pub log: LogLevel,
    /// Metrics in the text format of Prometheus; told whether the store can be reached.
    pub metrics: Arc<dyn Fn(bool) -> String + Send + Sync>,
    /// Who may use the API.
    pub access: Access,
    /// How long the audit log keeps its entries; without it there are none.
    pub audit: Option<Duration>,
    /// The responses that `proxy-cache` keeps; none where this node serves no traffic.
    pub responses: Option<Arc<dyn Responses>>,
    /// The certificates that `acme` gets; none where this node has no `acme`.
    pub acme: Report<Option<Arc<dyn AcmeCertificates>>>,
    /// The targets of upstreams; none where this node serves no traffic.
    pub balancers: Option<Arc<dyn Balancers>>,
}

/// The responses that `proxy-cache` keeps on this node.
pub trait Responses: Send + Sync {
    /// The one under a key.
    fn find(&self, key: &str) -> Option<Value>;

    /// Forgets the one under a key; whether there was one.
    fn remove(&self, key: &str) -> bool;

    /// Forgets all of them.
    fn clear(&self);
}

/// An answer of `acme`, later; an error tells operators why it does not do what it was asked for.
pub type Told<T> = Pin<Box<dyn Future<Output = Result<T, String>> + Send>>;

/// The certificates that `acme` gets on this node.
pub trait AcmeCertificates: Send + Sync {
    /// Gets a certificate for a name, unless a node is about to.
    fn issue(&self, name: String) -> Told<()>;

    /// Begins to renew what is due.
    ///
    /// # Errors
    /// Why it does not begin.
    fn renew(&self) -> Result<(), String>;

    /// The certificate for a name: `digest`, `host`, `not_after`, `valid`, …; none where there is
    /// none.
    fn find(&self, name: String) -> Told<Option<Value>>;

    /// All certificates.
    fn all(&self) -> Told<Vec<Value>>;

    /// Whether challenges for a name reach this node.
    fn try_challenge(&self, name: String) -> Told<()>;
}

/// Changes the level of the log, by its name, for a time or until it is changed again.
pub type SetLevel = dyn Fn(&str, Option<Duration>) + Send + Sync;

/// Reads and changes the level of the log, by its name in `kong.conf` (`notice`).
#[derive(Clone)]
pub struct LogLevel {
    /// The level in force.
    pub level: Report<String>,
    /// Changes it, for a time or until it is changed again.
    pub set_level: Arc<SetLevel>,
}

/// [`Admin`] as handlers see it.
pub(crate) struct State {
    pub(crate) admin: Admin,
    pub(crate) paths: Vec<Described>,
}

impl State {
    pub(crate) fn store(&self) -> &dyn Store {
        &*self.admin.store
    }

    pub(crate) fn schemas(&self) -> &Arc<Schemas> {
        self.admin.store.schemas()
    }

    pub(crate) fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

impl Admin {
    /// The router of the Admin API.
    pub fn router(self) -> Router {
        let mut routes = Routes::default();
        entity::add(&mut routes, self.store.schemas());
        node::add(&mut routes, &self);
        if !self.node.is_control_plane {
            entity::add_health(&mut routes);
        }
        let origins: Arc<[String]> = self
            .node
            .allowed_origins
            .iter()
            .map(|url| front::origin(url))
            .collect();
        let access = Arc::new(self.access.clone());
        let body_limit = DefaultBodyLimit::max(self.node.body_limit);
        let state = Arc::new(State {
            admin: self,
            paths: routes.describe(),
        });
        let limited = routes.into_router(state).layer(body_limit);
        front::behind(front::guarded(limited, access), origins)
    }
}
