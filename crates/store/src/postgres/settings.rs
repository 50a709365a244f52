//! How a PostgreSQL server is reached.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;

/// How a PostgreSQL server is reached. Its [`Debug`](fmt::Debug) form leaves the password out.
#[derive(Clone)]
pub struct PostgresSettings {
    /// Host name or address; a path is the directory of a Unix socket.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Who logs in.
    pub user: String,
    /// With what.
    pub password: Option<String>,
    /// Name of the database.
    pub database: String,
    /// The schema in it; the server's search path decides when `None`.
    pub schema: Option<String>,
    /// Whether TLS is spoken.
    pub tls: PostgresTls,
    /// Longest wait for the server: for a connection, and for each answer.
    pub timeout: Duration,
    /// Longest wait for a turn: for a free connection, and behind other writers.
    pub patience: Duration,
    /// Most connections that are open for queries; one more follows the changes.
    pub connections: usize,
    /// Most that may wait for one of them; any number when `None`.
    pub backlog: Option<usize>,
    /// Idle connections are closed after this; never when `None`.
    pub idle: Option<Duration>,
}

/// Whether TLS is spoken with the server.
#[derive(Clone)]
pub enum PostgresTls {
    /// No.
    Off,
    /// Where the server offers it, whoever the server is. Keeps out those who only listen.
    Unverified,
    /// Always, and only with a server whose certificate for the host comes from one of these.
    Verified(Arc<RootCertStore>),
}

impl PostgresSettings {
    /// The database as people name it: `DATABASE at HOST:PORT`.
    pub fn place(&self) -> String {
        format!("{} at {}:{}", self.database, self.host, self.port)
    }
}

impl fmt::Debug for PostgresSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PostgresSettings")
            .field("place", &self.place())
            .field("user", &self.user)
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}
