//! What Keelgate and Kong are told, in the same words.

use serde_json::{Value, json};

use super::Setting;
use crate::policy::Policy;

/// The environment of a node without a database; writes its configuration.
pub(super) fn settings(setting: &Setting<'_>) -> anyhow::Result<Vec<(&'static str, String)>> {
    let file = setting.directory.join("kong.yml");
    let config = declarative(setting.policy, &format!("http://{}", setting.upstream));
    std::fs::write(&file, config.to_string())?;
    Ok(vec![
        ("KONG_DATABASE", "off".to_owned()),
        (
            "KONG_PREFIX",
            setting.directory.join("prefix").display().to_string(),
        ),
        ("KONG_DECLARATIVE_CONFIG", file.display().to_string()),
        ("KONG_ADMIN_LISTEN", "off".to_owned()),
        ("KONG_STATUS_LISTEN", "off".to_owned()),
        ("KONG_NGINX_WORKER_PROCESSES", "2".to_owned()),
        ("KONG_PROXY_ACCESS_LOG", "off".to_owned()),
        // As nginx is told: an HTTP/2 connection carries far more than the usual bound in a run.
        ("KONG_NGINX_HTTP_KEEPALIVE_REQUESTS", "1000000".to_owned()),
        (
            "KONG_PROXY_LISTEN",
            format!(
                "127.0.0.1:{} reuseport, 127.0.0.1:{} ssl http2 reuseport",
                setting.port, setting.tls_port
            ),
        ),
        ("KONG_SSL_CERT", setting.certificate.display().to_string()),
        ("KONG_SSL_CERT_KEY", setting.key.display().to_string()),
    ])
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
