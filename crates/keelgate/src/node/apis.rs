//! The Admin API and the status API of a node, on their listeners.

use std::os::fd::AsFd;
use std::sync::Arc;

use anyhow::{Context, ensure};
use keelgate_admin::{Admin, Patience, Status};
use keelgate_proxy::Sockets;
use keelgate_settings::{Listener, Settings};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::certificates;

/// Sockets of an API, bound before anything else of the node starts.
#[derive(Default)]
pub(crate) struct Bound(Vec<keelgate_admin::Listener>);

/// Listening sockets of a node beside the proxy's.
#[derive(Default)]
pub(crate) struct Listening {
    /// What the process before this one handed over.
    pub(crate) handed: Sockets,
    /// Those in use once more, for the process after this one.
    pub(crate) copies: Sockets,
}

impl Listening {
    /// Takes over one socket, or binds it; `key` is the setting that a failure is about.
    pub(crate) async fn bind(
        &mut self,
        key: &str,
        listener: &Listener,
    ) -> anyhow::Result<TcpListener> {
        ensure!(
            !listener.proxy_protocol,
            "{key}: proxy_protocol is only understood by proxy_listen"
        );
        let name = format!("{key}/{listener}");
        let socket = match self.handed.take(&name).pop() {
            Some(socket) => {
                let socket = std::net::TcpListener::from(socket);
                socket.set_nonblocking(true)?;
                TcpListener::from_std(socket)?
            }
            None => TcpListener::bind((listener.host.as_str(), listener.port))
                .await
                .with_context(|| {
                    format!("{key}: cannot listen on {listener}: is another process there?")
                })?,
        };
        let copy = socket.as_fd().try_clone_to_owned()?;
        self.copies.add(name, vec![copy]);
        Ok(socket)
    }
}

/// Binds the listeners of an API. `name` is `admin` or `status`.
pub(crate) async fn bind(
    settings: &Settings,
    name: &str,
    listeners: &[Listener],
    listening: &mut Listening,
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
            let clients = settings.tls.admin_ssl_client_ca.as_ref();
            let clients = clients.filter(|_| name == "admin");
            Some(certificates::server(settings, certificate, clients)?)
        }
    };
    let mut bound = Vec::new();
    for listener in listeners {
        let socket = listening.bind(&format!("{name}_listen"), listener).await?;
        let tls = tls.clone().filter(|_| listener.ssl);
        bound.push(keelgate_admin::Listener { socket, tls });
    }
    Ok(Bound(bound))
}

/// The time in which a process is the node: two that serve the same requests must not both answer
/// for the node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Term {
    pub(crate) began: CancellationToken,
    pub(crate) ended: CancellationToken,
}

impl Bound {
    /// Serves the Admin API while the process is the node.
    pub(crate) fn serve_admin(self, admin: Admin, term: Term) -> JoinHandle<()> {
        self.serve(admin.router(), term)
    }

    /// Serves the status API while the process is the node.
    pub(crate) fn serve_status(self, status: Status, term: Term) -> JoinHandle<()> {
        self.serve(status.router(), term)
    }

    fn serve(self, router: axum::Router, term: Term) -> JoinHandle<()> {
        tokio::spawn(async move {
            tokio::select! {
                () = term.began.cancelled() => {}
                () = term.ended.cancelled() => return,
            }
            let ended = async move { term.ended.cancelled().await };
            keelgate_admin::serve(self.0, router, Patience::default(), ended).await;
        })
    }
}

/// Text or a value that is made whenever an API is asked for it.
pub(crate) fn report<T>(make: impl Fn() -> T + Send + Sync + 'static) -> keelgate_admin::Report<T> {
    Arc::new(make)
}
