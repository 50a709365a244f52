//! Where entities are kept.

use std::path::PathBuf;

use crate::section::section;
use crate::values::{DatabaseKind, Milliseconds, Secret};

section! {
    /// Where entities are kept.
    pub struct Database in "DATABASE" {
        /// `sqlite` keeps them in a file under the prefix, `postgres` in a
        /// PostgreSQL server, `off` keeps nothing: the configuration is given whole,
        /// by file or through the Admin API. When unset: `off` for a data plane,
        /// `postgres` where a pg_* setting is given, else `sqlite`.
        database: DatabaseKind = "" for Every;
        /// The file of the `sqlite` database. When unset: keelgate.db under the prefix.
        sqlite_path: Option<PathBuf> = "" for Administering;
        /// A file of declarative configuration, YAML or JSON, that a node with
        /// `database = off` serves from its start.
        declarative_config: Option<PathBuf> = "" for Every;
        /// The same as text, in place of a file.
        declarative_config_string: Option<Secret> = "" for Every;
    }
}

section! {
    /// The PostgreSQL server.
    pub struct Postgres in "POSTGRESQL" {
        /// Host name or address of the server.
        pg_host: String = "127.0.0.1" for Administering;
        /// Port of the server.
        pg_port: u16 = "5432" for Administering;
        /// Milliseconds that connecting, sending and receiving may each take.
        pg_timeout: Milliseconds = "5000" for Administering;
        /// The user to log in as.
        pg_user: String = "kong" for Administering;
        /// That user's password.
        pg_password: Option<Secret> = "" for Administering;
        /// The name of the database.
        pg_database: String = "kong" for Administering;
        /// The schema in it; the server's search path decides when unset.
        pg_schema: Option<String> = "" for Administering;
        /// Whether to speak TLS with the server, where it offers that.
        pg_ssl: bool = "off" for Administering;
        /// Whether to insist on TLS, and to verify the server's certificate: by the
        /// authorities of lua_ssl_trusted_certificate, for the name in pg_host.
        pg_ssl_verify: bool = "off" for Administering;
        /// How many queries may run at a time; 0 for as many as there are connections.
        pg_max_concurrent_queries: u32 = "0" for Administering;
        /// Milliseconds that a query may wait for its turn.
        pg_semaphore_timeout: Milliseconds = "60000" for Administering;
        /// Milliseconds after which an idle connection is closed.
        pg_keepalive_timeout: Option<Milliseconds> = "" for Administering;
        /// How many connections may be open, besides one that follows the changes of
        /// other nodes. When unset: 16.
        pg_pool_size: Option<u32> = "" for Administering;
        /// How many more may wait for one.
        pg_backlog: Option<u32> = "" for Administering;
    }
}

section! {
    /// A replica of the PostgreSQL server, which reads of the Admin API go to.
    pub struct Replica in "POSTGRESQL REPLICA" {
        /// Host name or address of a replica that only reads. When unset, reads go to the
        /// server. What is not set of the replica is as with the server.
        pg_ro_host: Option<String> = "" for Administering;
        /// As pg_port, for the replica.
        pg_ro_port: Option<u16> = "" for Administering;
        /// As pg_timeout, for the replica.
        pg_ro_timeout: Option<Milliseconds> = "" for Administering;
        /// As pg_user, for the replica.
        pg_ro_user: Option<String> = "" for Administering;
        /// As pg_password, for the replica.
        pg_ro_password: Option<Secret> = "" for Administering;
        /// As pg_database, for the replica.
        pg_ro_database: Option<String> = "" for Administering;
        /// As pg_schema, for the replica.
        pg_ro_schema: Option<String> = "" for Administering;
        /// As pg_ssl, for the replica.
        pg_ro_ssl: Option<bool> = "" for Administering;
        /// As pg_ssl_verify, for the replica.
        pg_ro_ssl_verify: Option<bool> = "" for Administering;
        /// As pg_max_concurrent_queries, for the replica.
        pg_ro_max_concurrent_queries: Option<u32> = "" for Administering;
        /// As pg_semaphore_timeout, for the replica.
        pg_ro_semaphore_timeout: Option<Milliseconds> = "" for Administering;
        /// As pg_keepalive_timeout, for the replica.
        pg_ro_keepalive_timeout: Option<Milliseconds> = "" for Administering;
        /// As pg_pool_size, for the replica.
        pg_ro_pool_size: Option<u32> = "" for Administering;
        /// As pg_backlog, for the replica.
        pg_ro_backlog: Option<u32> = "" for Administering;
    }
}
