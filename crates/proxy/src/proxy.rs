//! The proxy as a whole: started, and drained.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use keelgate_runtime::Shared;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::listener::{self, ListenError};
use crate::names::Names;
use crate::phases::certificate;
use crate::settings::Settings;
use crate::stream;
use crate::upkeep::Upkeep;
use crate::worker::Worker;

/// Why the proxy cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// TLS towards clients cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// A thread cannot be started.
    #[error("a thread cannot be started: {0}")]
    Thread(std::io::Error),
}

/// The proxy.
pub struct Proxy;

/// A proxy that serves. Dropped, it ends at once; see [`Handle::drain`].
pub struct Handle {
    addresses: Vec<SocketAddr>,
    stream_addresses: Vec<SocketAddr>,
    stop: watch::Sender<Option<Instant>>,
    workers: Vec<JoinHandle<std::io::Result<usize>>>,
    /// Dropped last: workers ask it for names until they end.
    _upkeep: Upkeep,
}

/// How a proxy ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were cut off at the deadline.
    pub cut_off: usize,
}

impl Proxy {
    /// Starts serving what `shared` holds. All addresses are bound when this returns, and none is
    /// when it fails.
    ///
    /// # Errors
    /// When an address cannot be bound, or a thread cannot be started.
    pub fn start(settings: Settings, shared: Arc<Shared>) -> Result<Handle, StartError> {
        let count = match settings.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count,
        };
        let (addresses, of_workers) = listener::bind(&settings.listen, count)?;
        let (stream_addresses, stream_sockets) =
            stream::listener::bind(&settings.stream.listen, count)?;
        let settings = Arc::new(settings);
        let tls = [
            certificate::server_config(Arc::clone(&shared), false)?,
            certificate::server_config(Arc::clone(&shared), true)?,
        ];
        let (names, asks) = Names::new(settings.dns.clone());
        let upkeep = Upkeep::start(
            Arc::clone(&settings),
            Arc::clone(&shared),
            Arc::clone(&names),
            asks,
        )
        .map_err(StartError::Thread)?;
        let stream_tls = certificate::stream_config(Arc::clone(&shared))?;
        let (stop, stopped) = watch::channel(None);
        let mut handle = Handle {
            addresses,
            stream_addresses,
            stop,
            workers: Vec::with_capacity(count),
            _upkeep: upkeep,
        };
        for (index, (sockets, stream_sockets)) in
            of_workers.into_iter().zip(stream_sockets).enumerate()
        {
            let worker = Worker {
                settings: Arc::clone(&settings),
                shared: Arc::clone(&shared),
                names: Arc::clone(&names),
                sockets,
                tls: tls.clone(),
                stream_sockets,
                stream_tls: Arc::clone(&stream_tls),
                stop: stopped.clone(),
            };
            let thread = std::thread::Builder::new()
                .name(format!("proxy-{index}"))
                .spawn(move || worker.run())
                .map_err(StartError::Thread)?;
            handle.workers.push(thread);
        }
        Ok(handle)
    }
}

impl Handle {
    /// The addresses that are served, in the order of [`Settings::listen`].
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The addresses that sessions come to, in the order of
    /// [`StreamSettings::listen`](crate::StreamSettings::listen).
    pub fn stream_addresses(&self) -> &[SocketAddr] {
        &self.stream_addresses
    }

    /// Stops accepting, lets requests in flight finish, and returns when all connections have
    /// ended or `limit` is over. Idle connections are closed; others are told to close with their
    /// next response.
    ///
    /// Blocks the calling thread; in asynchronous code call it where blocking is allowed.
    pub fn drain(mut self, limit: Duration) -> Drained {
        self.stop.send_replace(Some(Instant::now() + limit));
        Drained {
            cut_off: self.join(),
        }
    }

    /// Waits for the workers; the number of connections they cut off.
    fn join(&mut self) -> usize {
        self.workers
            .drain(..)
            .map(|worker| match worker.join() {
                Ok(Ok(cut_off)) => cut_off,
                Ok(Err(error)) => {
                    tracing::error!(%error, "a worker has failed");
                    0
                }
                Err(_) => {
                    tracing::error!("a worker has panicked");
                    0
                }
            })
            .sum()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop.send_replace(Some(Instant::now()));
        self.join();
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle")
            .field("addresses", &self.addresses)
            .field("workers", &self.workers.len())
            .finish_non_exhaustive()
    }
}
