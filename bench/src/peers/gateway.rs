//! What Keelgate and Kong are told, in the same words.

use std::path::Path;

use serde_json::{Value, json};

use super::Setting;
use crate::policy::Policy;

/// Where a node listens, and with how many workers.
pub(crate) struct Listen<'a> {
    pub(crate) workers: usize,
    /// Its port for HTTP.
    pub(crate) port: u16,
    /// Its port for HTTPS, certificate and key.
    pub(crate) tls: Option<(u16, &'a Path, &'a Path)>,
}

/// The environment of a peer without a database; writes its configuration.
pub(super) fn peer(setting: &Setting<'_>) -> anyhow::Result<Vec<(&'static str, String)>> {
    let config = declarative(setting.policy, &format!("http://{}", setting.upstream));
    let listen = Listen {
        workers: 2,
        port: setting.port,
        tls: Some((setting.tls_port, setting.certificate, setting.key)),
    };
    settings(setting.directory, &listen, &config)
}

/// The environment of a node without a database; writes its configuration.
pub(crate) fn settings(
    directory: &Path,
    listen: &Listen<'_>,
    config: &Value,
) -> anyhow::Result<Vec<(&'static str, String)>> {
    let file = directory.join("kong.yml");
    std::fs::write(&file, config.to_string())?;
    let mut addresses = format!("127.0.0.1:{} reuseport", listen.port);
    let mut settings = vec![
        ("KONG_DATABASE", "off".to_owned()),
        (
            "KONG_PREFIX",
            directory.join("prefix").display().to_string(),
        ),
        ("KONG_DECLARATIVE_CONFIG", file.display().to_string()),
        ("KONG_ADMIN_LISTEN", "off".to_owned()),
        ("KONG_STATUS_LISTEN", "off".to_owned()),
        ("KONG_NGINX_WORKER_PROCESSES", listen.workers.to_string()),
        ("KONG_PROXY_ACCESS_LOG", "off".to_owned()),
        // As nginx is told: an HTTP/2 connection carries far more than the usual bound in a run.
        ("KONG_NGINX_HTTP_KEEPALIVE_REQUESTS", "1000000".to_owned()),
    ];
    if let Some((port, certificate, key)) = listen.tls {
        addresses += &format!(", 127.0.0.1:{port} ssl http2 reuseport");
        settings.push(("KONG_SSL_CERT", certificate.display().to_string()));
        settings.push(("KONG_SSL_CERT_KEY", key.display().to_string()));
    }
    settings.push(("KONG_PROXY_LISTEN", addresses));
    Ok(settings)
}

fn declarative(policy: &Policy, url: &str) -> Value {
    let routes: Vec<Value> = (0..policy.routes)
        .map(|index| {
            json!({
                "name": format!("route-{index}"),
                "paths": [policy.path(index)],
                "strip_path": false,
            })
        })
        .collect();
    let consumers: Vec<Value> = (0..policy.consumers)
        .map(|index| {
            let name = Policy::consumer(index);
            json!({
                "username": name,
                "keyauth_credentials": [{"key": name}],
                "basicauth_credentials": [{"username": name, "password": name}],
                "acls": [{"group": "all"}],
            })
        })
        .collect();
    json!({
        "_format_version": "3.0",
        "services": [{"name": "upstream", "url": url, "routes": routes}],
        "plugins": policy.plugins,
        "consumers": consumers,
    })
}
