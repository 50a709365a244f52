//! The store that the settings name.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use keelgate_entities::Schemas;
use keelgate_settings::{DatabaseKind, Settings};
use keelgate_store::{PostgresSettings, PostgresStore, PostgresTls, SqliteStore, Store};

use crate::node::trusted;

/// Connections to PostgreSQL, where neither `pg_pool_size` nor `pg_max_concurrent_queries` says how
/// many.
const CONNECTIONS: u32 = 16;

/// Opens the store for a node, which follows what other nodes change.
pub(crate) async fn follow(settings: &Settings, schemas: Arc<Schemas>) -> Result<Arc<dyn Store>> {
    if settings.database.database != DatabaseKind::Postgres {
        return sqlite(settings, schemas);
    }
    let server = server(settings)?;
    let place = server.place();
    let store = PostgresStore::follow(server, replica(settings)?, schemas).await;
    Ok(Arc::new(store.with_context(|| cannot_open(&place))?))
}

/// Opens the store for a command.
pub(crate) async fn open(settings: &Settings, schemas: Arc<Schemas>) -> Result<Arc<dyn Store>> {
    if settings.database.database != DatabaseKind::Postgres {
        return sqlite(settings, schemas);
    }
    let server = server(settings)?;
    let place = server.place();
    let store = PostgresStore::open(server, schemas).await;
    Ok(Arc::new(store.with_context(|| cannot_open(&place))?))
}

fn sqlite(settings: &Settings, schemas: Arc<Schemas>) -> Result<Arc<dyn Store>> {
    let path: PathBuf = settings.sqlite_path();
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)
            .with_context(|| format!("sqlite_path: cannot make {}", directory.display()))?;
    }
    let store = SqliteStore::open(&path, schemas);
    Ok(Arc::new(store.with_context(|| {
        cannot_open(&path.display().to_string())
    })?))
}

fn cannot_open(place: &str) -> String {
    format!("cannot open the database {place}")
}

/// How the PostgreSQL server is reached.
pub(crate) fn server(settings: &Settings) -> Result<PostgresSettings> {
    let own = &settings.postgres;
    Ok(PostgresSettings {
        host: own.pg_host.clone(),
        port: own.pg_port,
        user: own.pg_user.clone(),
        password: own
            .pg_password
            .as_ref()
            .map(|secret| secret.expose().to_owned()),
        database: own.pg_database.clone(),
        schema: own.pg_schema.clone(),
        tls: tls(settings, own.pg_ssl, own.pg_ssl_verify)?,
        timeout: own.pg_timeout.0,
        patience: own.pg_semaphore_timeout.0,
        connections: connections(own.pg_pool_size, own.pg_max_concurrent_queries),
        backlog: own.pg_backlog.map(|backlog| backlog as usize),
        idle: own.pg_keepalive_timeout.as_ref().map(|timeout| timeout.0),
    })
}

/// How its read-only replica is reached, if there is one. What is not set of it is as with the
/// server.
fn replica(settings: &Settings) -> Result<Option<PostgresSettings>> {
    let replica = &settings.replica;
    let Some(host) = replica.pg_ro_host.clone() else {
        return Ok(None);
    };
    let own = &settings.postgres;
    let like = server(settings)?;
    let password = replica.pg_ro_password.as_ref();
    Ok(Some(PostgresSettings {
        host,
        port: replica.pg_ro_port.unwrap_or(like.port),
        user: replica.pg_ro_user.clone().unwrap_or(like.user),
        password: password
            .map(|secret| secret.expose().to_owned())
            .or(like.password),
        database: replica.pg_ro_database.clone().unwrap_or(like.database),
        schema: replica.pg_ro_schema.clone().or(like.schema),
        tls: tls(
            settings,
            replica.pg_ro_ssl.unwrap_or(own.pg_ssl),
            replica.pg_ro_ssl_verify.unwrap_or(own.pg_ssl_verify),
        )?,
        timeout: replica
            .pg_ro_timeout
            .as_ref()
            .map_or(like.timeout, |timeout| timeout.0),
        patience: replica
            .pg_ro_semaphore_timeout
            .as_ref()
            .map_or(like.patience, |timeout| timeout.0),
        connections: connections(
            replica.pg_ro_pool_size.or(own.pg_pool_size),
            replica
                .pg_ro_max_concurrent_queries
                .unwrap_or(own.pg_max_concurrent_queries),
        ),
        backlog: replica
            .pg_ro_backlog
            .map(|backlog| backlog as usize)
            .or(like.backlog),
        idle: replica
            .pg_ro_keepalive_timeout
            .as_ref()
            .map(|timeout| timeout.0)
            .or(like.idle),
    }))
}

fn tls(settings: &Settings, is_spoken: bool, is_verified: bool) -> Result<PostgresTls> {
    Ok(match (is_spoken, is_verified) {
        (false, _) => PostgresTls::Off,
        (true, false) => PostgresTls::Unverified,
        (true, true) => PostgresTls::Verified(trusted(settings)?),
    })
}

/// The fewer of both, where both are set; 0 queries are no limit.
fn connections(pool: Option<u32>, queries: u32) -> usize {
    let limit = (queries > 0).then_some(queries);
    let chosen = match (pool, limit) {
        (Some(pool), Some(limit)) => pool.min(limit),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => CONNECTIONS,
    };
    chosen as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stricter_limit_of_connections_counts() {
        assert_eq!(connections(None, 0), CONNECTIONS as usize);
        assert_eq!(connections(Some(5), 0), 5);
        assert_eq!(connections(None, 7), 7);
        assert_eq!(connections(Some(5), 7), 5);
        assert_eq!(connections(Some(9), 7), 7);
    }
}
