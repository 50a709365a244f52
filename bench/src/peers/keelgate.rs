//! Keelgate, without a database.

use std::path::Path;
use std::process::Command;

use super::Setting;

pub(super) fn prepare(binary: &Path, setting: &Setting<'_>) -> anyhow::Result<Command> {
    let file = setting.directory.join("kong.yml");
    let config = serde_json::json!({
        "_format_version": "3.0",
        "services": [{
            "name": "upstream",
            "url": format!("http://{}", setting.upstream),
            "routes": [{"name": "all", "paths": ["/"]}],
        }],
    });
    std::fs::write(&file, config.to_string())?;
    let mut command = Command::new(binary);
    command.args(["start", "--foreground"]).envs([
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
        (
            "KONG_PROXY_LISTEN",
            format!(
                "127.0.0.1:{} reuseport, 127.0.0.1:{} ssl reuseport",
                setting.port, setting.tls_port
            ),
        ),
        ("KONG_SSL_CERT", setting.certificate.display().to_string()),
        ("KONG_SSL_CERT_KEY", setting.key.display().to_string()),
    ]);
    Ok(command)
}
