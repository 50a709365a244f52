//! Connections to the server: a pool for queries, and one that is told of changes.

use std::future::{Future, poll_fn};
use std::time::Duration;

use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime,
    TimeoutType, Timeouts,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_postgres::config::SslMode;
use tokio_postgres::{AsyncMessage, Client, Config, Connection, NoTls};

use super::failure::explain;
use super::settings::{PostgresSettings, PostgresTls};
use super::tls;
use crate::StoreError;

/// How the server is asked to notice that a client's machine is gone, so that what a lost node
/// held is free for others.
const KEEPALIVES: &str =
    "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3";

/// The library's settings of a connection.
fn config(settings: &PostgresSettings) -> Config {
    let mut config = Config::new();
    config
        .host(&settings.host)
        .port(settings.port)
        .user(&settings.user)
        .dbname(&settings.database)
        .application_name("keelgate")
        .connect_timeout(settings.timeout)
        .tcp_user_timeout(settings.timeout)
        .keepalives_idle(Duration::from_secs(10))
        .ssl_mode(match settings.tls {
            PostgresTls::Off => SslMode::Disable,
            PostgresTls::Unverified => SslMode::Prefer,
            PostgresTls::Verified(_) => SslMode::Require,
        });
    if let Some(password) = &settings.password {
        config.password(password);
    }
    config
}

/// What every connection begins with.
fn preamble(settings: &PostgresSettings) -> String {
    match &settings.schema {
        Some(schema) => format!("{KEEPALIVES}; SET search_path TO {}", quoted(schema)),
        None => KEEPALIVES.to_owned(),
    }
}

/// A name as an SQL identifier.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Connections for queries. A copy stands for the same ones.
#[derive(Clone)]
pub(super) struct Connections {
    pool: Pool,
    backlog: Option<usize>,
    /// Longest wait for each answer.
    pub(super) timeout: Duration,
}

impl Connections {
    /// None is opened yet.
    pub(super) fn new(settings: &PostgresSettings) -> Result<Self, StoreError> {
        Ok(Self {
            pool: pool(settings)?,
            backlog: settings.backlog,
            timeout: settings.timeout,
        })
    }

    /// One of them, when it is free.
    pub(super) async fn get(&self) -> Result<Object, StoreError> {
        let waiting = self.pool.status().waiting;
        if self
            .backlog
            .is_some_and(|backlog| waiting >= backlog.max(1))
        {
            return Err(in_use("pg_backlog"));
        }
        self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => {
                explain(&error)
            }
            PoolError::Timeout(TimeoutType::Wait) => in_use("pg_pool_size"),
            PoolError::Timeout(_) => no_answer(),
            PoolError::Closed => StoreError::Closed,
            other => StoreError::Unavailable(other.to_string()),
        })
    }

    /// Closes those that nobody has used for so long.
    pub(super) fn close_idle(&self, idle: Duration) {
        self.pool.retain(|_, metrics| metrics.last_used() < idle);
    }
}

fn in_use(setting: &str) -> StoreError {
    StoreError::Unavailable(format!(
        "all connections of this node stay in use ({setting})"
    ))
}

fn pool(settings: &PostgresSettings) -> Result<Pool, StoreError> {
    let manager = ManagerConfig {
        // One that was lost is noticed when it is used, which is once more than before.
        recycling_method: RecyclingMethod::Fast,
    };
    let config = config(settings);
    let manager = match tls::connector(&settings.tls)? {
        Some(tls) => Manager::from_config(config, tls, manager),
        None => Manager::from_config(config, NoTls, manager),
    };
    let preamble = preamble(settings);
    let begin = Hook::async_fn(move |client, _| {
        let preamble = preamble.clone();
        Box::pin(async move {
            let begun = client.batch_execute(&preamble).await;
            begun.map_err(HookError::Backend)
        })
    });
    Pool::builder(manager)
        .runtime(Runtime::Tokio1)
        .max_size(settings.connections.max(2))
        .timeouts(Timeouts {
            wait: Some(settings.patience),
            create: Some(settings.timeout),
            recycle: Some(settings.timeout),
        })
        .post_create(begin)
        .build()
        .map_err(|error| StoreError::Postgres(error.to_string()))
}

/// A connection besides the pool, and what tells of notifications; that ends with the connection.
pub(super) async fn listening(
    settings: &PostgresSettings,
) -> Result<(Client, mpsc::Receiver<()>), StoreError> {
    let config = config(settings);
    let (client, told) = match tls::connector(&settings.tls)? {
        Some(tls) => {
            let (client, connection) = bounded(settings.timeout, config.connect(tls)).await?;
            (client, drive(connection))
        }
        None => {
            let (client, connection) = bounded(settings.timeout, config.connect(NoTls)).await?;
            (client, drive(connection))
        }
    };
    bounded(settings.timeout, client.batch_execute(&preamble(settings))).await?;
    Ok((client, told))
}

/// Lets a connection work until its client is dropped, or it is lost.
fn drive<S, T>(mut connection: Connection<S, T>) -> mpsc::Receiver<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // One that waits to be looked at stands for all that come meanwhile.
    let (tell, told) = mpsc::channel(1);
    tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
            if matches!(message, AsyncMessage::Notification(_)) {
                let _ = tell.try_send(());
            }
        }
    });
    told
}

/// Waits for the server, but not forever.
pub(super) async fn bounded<T>(
    timeout: Duration,
    query: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, StoreError> {
    tokio::time::timeout(timeout, query)
        .await
        .map_err(|_| no_answer())?
        .map_err(|error| explain(&error))
}

fn no_answer() -> StoreError {
    StoreError::Unavailable("the server did not answer in time".to_owned())
}
