//! HAProxy.

use std::path::Path;
use std::process::Command;

use super::Setting;

pub(super) fn prepare(binary: &Path, setting: &Setting<'_>) -> anyhow::Result<Command> {
    let bundle = setting.directory.join("bundle.pem");
    let pem = [
        std::fs::read(setting.certificate)?,
        std::fs::read(setting.key)?,
    ]
    .concat();
    std::fs::write(&bundle, pem)?;
    let routes: String = (0..setting.policy.routes)
        .map(|route| {
            let path = setting.policy.path(route);
            format!("  use_backend out if {{ path_beg {path} }}\n")
        })
        .collect();
    let file = setting.directory.join("haproxy.cfg");
    let config = format!(
        "global
  nbthread 2
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  option forwardfor
  http-reuse always
frontend in
  bind 127.0.0.1:{port}
  bind 127.0.0.1:{tls_port} ssl crt {bundle} alpn h2,http/1.1
  http-request set-header X-Forwarded-Proto http unless {{ ssl_fc }}
  http-request set-header X-Forwarded-Proto https if {{ ssl_fc }}
{routes}backend out
  server upstream {upstream} pool-max-conn 256
",
        port = setting.port,
        tls_port = setting.tls_port,
        bundle = bundle.display(),
        upstream = setting.upstream,
    );
    std::fs::write(&file, config)?;
    let mut command = Command::new(binary);
    command.arg("-db").arg("-f").arg(file);
    Ok(command)
}
