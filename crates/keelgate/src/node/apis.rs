//! The Admin API and the status API of a node, on their listeners.

use std::sync::Arc;

use anyhow::{Context, ensure};
use keelgate_admin::{Admin, Status};
use keelgate_settings::{Listener, Settings};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::certificates;

/// Sockets of an API, bound before anything else of the node starts.
#[derive(Default)]
pub(crate) struct Bound(Vec<keelgate_admin::Listener>);

/// Binds the listeners of an API. `name` is `admin` or `status`.
pub(crate) async fn bind(
    settings: &Settings,
    name: &str,
    listeners: &[Listener],
) -> anyhow::Result<Bound> {
    let tls = match listeners.iter().any(|listener| listener.ssl) {
        false => None,
        true => {
            let (certificates, keys) = match name {
                "admin" => (
                    &settings.tls.admin_ssl_cert,
                    &settings.tls.admin_ssl_cert_key,
                ),
                _ => (
                    &settings.tls.status_ssl_cert,
                    &settings.tls.status_ssl_cert_key,
                ),
            };
            let certificate =
                certificates::listener(&settings.node.prefix, name, certificates, keys)?;
            Some(certificates::server(settings, certificate)?)
        }
    };
    let mut bound = Vec::new();
    for listener in listeners {
        let socket = bind_one(&format!("{name}_listen"), listener).await?;
        let tls = tls.clone().filter(|_| listener.ssl);
        bound.push(keelgate_admin::Listener { socket, tls });
    }
    Ok(Bound(bound))
}

/// Binds one socket; `key` is the setting that a failure is about.
pub(crate) async fn bind_one(key: &str, listener: &Listener) -> anyhow::Result<TcpListener> {
    ensure!(
        !listener.proxy_protocol,
        "{key}: proxy_protocol is only understood by proxy_listen"
    );
    TcpListener::bind((listener.host.as_str(), listener.port))
        .await
        .with_context(|| format!("{key}: cannot listen on {listener}: is another process there?"))
}

impl Bound {
    /// Serves the Admin API until `stop`.
    pub(crate) fn serve_admin(self, admin: Admin, stop: CancellationToken) -> JoinHandle<()> {
        self.serve(admin.router(), stop)
    }

    /// Serves the status API until `stop`.
    pub(crate) fn serve_status(self, status: Status, stop: CancellationToken) -> JoinHandle<()> {
        self.serve(status.router(), stop)
    }

    fn serve(self, router: axum::Router, stop: CancellationToken) -> JoinHandle<()> {
        tokio::spawn(keelgate_admin::serve(self.0, router, async move {
            stop.cancelled().await
        }))
    }
}

/// Text or a value that is made whenever an API is asked for it.
pub(crate) fn report<T>(make: impl Fn() -> T + Send + Sync + 'static) -> keelgate_admin::Report<T> {
    Arc::new(make)
}
