//! Which storage the settings choose.

use std::sync::Arc;
use std::time::Duration;

use super::config::{Config, NO_DATABASE, ServerConfig, VaultConfig};
use super::storage::vault::Access;
use super::storage::web::{Place, Web};
use super::storage::{Consul, Database, Redis, Storage, Vault};
use crate::error::Reason;
use crate::registry::Node;

/// The storage of a configuration.
pub(super) fn storage(node: &Node, config: &Config) -> Result<Storage, Reason> {
    let chosen = &config.storage_config;
    match config.storage.as_deref().unwrap_or("shm") {
        "shm" => Ok(Storage::Memory(Arc::clone(&node.acme.memory))),
        "kong" => {
            let records = node.records.own();
            let records = records.ok_or_else(|| Reason::setting("storage", NO_DATABASE))?;
            Ok(Storage::Database(Database::new(records)))
        }
        "redis" => {
            let options = &chosen.redis.extra_options;
            Ok(Storage::Redis(Redis {
                server: node.redis.server(&chosen.redis.server, node)?,
                namespace: options.namespace.clone(),
                scan_count: options.scan_count.unwrap_or(10.0).clamp(1.0, 10_000.0) as u32,
            }))
        }
        "consul" => consul(node, &chosen.consul)
            .map_err(|problem| Reason::setting("storage_config.consul", problem)),
        "vault" => vault(node, &chosen.vault)
            .map_err(|problem| Reason::setting("storage_config.vault", problem)),
        other => {
            let problem =
                format!("'{other}' is none; use 'shm', 'kong', 'redis', 'consul' or 'vault'");
            Err(Reason::setting("storage", problem))
        }
    }
}

fn consul(node: &Node, settings: &ServerConfig) -> Result<Storage, String> {
    let web = Web::new(&Place {
        called: None,
        tls: node.trust.client(true),
        ..place(node, settings, 8500)?
    })?;
    let consul = Consul::new(web, settings.kv_path.as_deref(), settings.token.as_deref())?;
    Ok(Storage::Consul(Box::new(consul)))
}

fn vault(node: &Node, settings: &VaultConfig) -> Result<Storage, String> {
    let server = &settings.server;
    let called = settings.tls_server_name.as_deref();
    let web = Web::new(&Place {
        called: called.filter(|_| server.https == Some(true)),
        tls: node.trust.client(settings.tls_verify != Some(false)),
        ..place(node, server, 8200)?
    })?;
    let access = match settings.auth_method.as_deref() {
        Some("kubernetes") => Access::kubernetes(
            settings.auth_path.as_deref(),
            settings.auth_role.as_deref(),
            settings.jwt_path.as_deref(),
        ),
        _ => Access::token(server.token.as_deref())?,
    };
    let vault = Vault::new(web, server.kv_path.as_deref(), access);
    Ok(Storage::Vault(Box::new(vault)))
}

fn place<'a>(node: &'a Node, settings: &'a ServerConfig, port: u16) -> Result<Place<'a>, String> {
    let timeout = Duration::try_from_secs_f64(settings.timeout.unwrap_or(2000.0) / 1000.0);
    Ok(Place {
        https: settings.https == Some(true),
        host: settings.host.as_deref().unwrap_or("127.0.0.1"),
        port: settings.port.unwrap_or(port),
        called: None,
        tls: node.trust.client(true),
        names: &node.names,
        timeout: timeout.map_err(|problem| format!("timeout: {problem}"))?,
    })
}
