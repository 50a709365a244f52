//! nginx.

use std::path::Path;
use std::process::Command;

use super::Setting;

pub(super) fn prepare(binary: &Path, setting: &Setting<'_>) -> anyhow::Result<Command> {
    let file = setting.directory.join("nginx.conf");
    let directory = setting.directory.display();
    let locations: String = (0..setting.policy.routes)
        .map(|route| {
            let path = setting.policy.path(route);
            format!("    location {path} {{ proxy_pass http://backend; }}\n")
        })
        .collect();
    let config = format!(
        "daemon off;
worker_processes 2;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  keepalive_requests 1000000;
  upstream backend {{ server {upstream}; keepalive 256; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port} reuseport;
    listen 127.0.0.1:{tls_port} ssl http2 reuseport;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    proxy_http_version 1.1;
    proxy_set_header Connection \"\";
    proxy_set_header Host $host;
    proxy_set_header X-Real-IP $remote_addr;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme;
{locations}  }}
}}
",
        upstream = setting.upstream,
        port = setting.port,
        tls_port = setting.tls_port,
        certificate = setting.certificate.display(),
        key = setting.key.display(),
    );
    std::fs::write(&file, config)?;
    let mut command = Command::new(binary);
    command.arg("-c").arg(file).arg("-p").arg(setting.directory);
    Ok(command)
}
