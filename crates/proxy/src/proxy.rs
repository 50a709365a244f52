//! The proxy as a whole: started, and drained.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use keelgate_runtime::Shared;
use rustls::ServerConfig;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::access_log::AccessLog;
use crate::listener::{self, ListenError, Passing};
use crate::names::{HostNames, Names};
use crate::phases::certificate;
use crate::settings::{IoEngine, Settings};
use crate::sockets::Sockets;
use crate::stream::{self, StreamLog};
use crate::upkeep::Upkeep;
use crate::worker::{End, Worker};

/// Why the proxy cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// TLS towards clients cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// The kernel does not let connections be read and written as the settings ask.
    #[error(
        "io_uring is asked for, and the kernel refuses it: {0}; allow it (Linux 6.1 or later, sysctl kernel.io_uring_disabled, the container's seccomp profile), or use epoll"
    )]
    IoUring(std::io::Error),
    /// A thread cannot be started.
    #[error("a thread cannot be started: {0}")]
    Thread(std::io::Error),
    /// The sockets of the proxy before cannot be taken over.
    #[error("the listening sockets cannot be handed on: {0}; raise the limit of open files")]
    Handles(std::io::Error),
}

/// The proxy.
pub struct Proxy;

/// A proxy that has its sockets and serves nobody yet.
#[derive(Debug)]
pub struct Bound {
    settings: Arc<Settings>,
    shared: Arc<Shared>,
    copies: Sockets,
    sockets: listener::Bound<TcpListener>,
    streams: listener::Bound<stream::listener::Socket>,
    /// For listeners with and without HTTP/2.
    tls: [Arc<ServerConfig>; 2],
    stream_tls: Arc<ServerConfig>,
    io_uring: bool,
}

/// A proxy that serves. Dropped, it ends at once; see [`Handle::drain`].
pub struct Handle {
    addresses: Vec<SocketAddr>,
    stream_addresses: Vec<SocketAddr>,
    shared: Arc<Shared>,
    sockets: Sockets,
    access_log: Option<Arc<dyn AccessLog>>,
    stream_log: Option<Arc<dyn StreamLog>>,
    stop: watch::Sender<Option<End>>,
    workers: Vec<JoinHandle<std::io::Result<usize>>>,
    names: Arc<Names>,
    /// Dropped last: workers ask it for names until they end.
    _upkeep: Upkeep,
}

/// How a proxy ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drain {
    /// Time until connections are cut off.
    pub limit: Duration,
    /// Time that idle connections are kept to be told with their next response: a client that sends
    /// just when its connection is closed cannot know what became of its request.
    pub patience: Duration,
    /// Whether another proxy accepts from the same sockets, so that this one stops at once; otherwise
    /// it serves what waits in their queues.
    pub is_succeeded: bool,
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
        Self::take_over(settings, shared, &mut Sockets::default())
    }

    /// The same on sockets that another proxy has handed on, as far as they are for the addresses
    /// of the settings: those are taken out of `handed`, and what waits in them is served.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn take_over(
        settings: Settings,
        shared: Arc<Shared>,
        handed: &mut Sockets,
    ) -> Result<Handle, StartError> {
        Self::bind(settings, shared, handed)?.serve()
    }

    /// As [`Self::take_over`], but accepts nobody yet: what connects waits.
    ///
    /// # Errors
    /// When an address cannot be bound, or the kernel refuses io_uring and the settings ask for it.
    pub fn bind(
        settings: Settings,
        shared: Arc<Shared>,
        handed: &mut Sockets,
    ) -> Result<Bound, StartError> {
        let workers = match settings.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count,
        };
        let mut passing = Passing::new(handed);
        let sockets = listener::bind(&settings.listen, workers, &mut passing)?;
        let streams = stream::listener::bind(&settings.stream.listen, workers, &mut passing)?;
        let tls = certificate::server_configs(&settings.tls, &shared)?;
        let io_uring = uses_io_uring(settings.io_engine)?;
        Ok(Bound {
            stream_tls: certificate::stream_config(&settings.tls, &shared)?,
            copies: passing.copies,
            settings: Arc::new(settings),
            shared,
            sockets,
            streams,
            tls,
            io_uring,
        })
    }
}

fn uses_io_uring(engine: IoEngine) -> Result<bool, StartError> {
    if engine == IoEngine::Epoll {
        return Ok(false);
    }
    match keelgate_socket::probe() {
        Ok(()) => Ok(true),
        Err(error) if engine == IoEngine::IoUring => Err(StartError::IoUring(error)),
        Err(error) => {
            tracing::info!(%error, "the kernel refuses io_uring: connections use epoll");
            Ok(false)
        }
    }
}

impl Bound {
    /// Starts to serve.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn serve(self) -> Result<Handle, StartError> {
        let (names, asks) = Names::new(self.settings.dns.clone());
        let upkeep = Upkeep::start(
            Arc::clone(&self.settings),
            Arc::clone(&self.shared),
            Arc::clone(&names),
            asks,
        )
        .map_err(StartError::Thread)?;
        let (stop, stopped) = watch::channel(None);
        let mut handle = Handle {
            addresses: self.sockets.addresses,
            stream_addresses: self.streams.addresses,
            shared: Arc::clone(&self.shared),
            sockets: self.copies,
            access_log: self.settings.access_log.clone(),
            stream_log: self.settings.stream.log.clone(),
            stop,
            names: Arc::clone(&names),
            workers: Vec::with_capacity(self.sockets.of_workers.len()),
            _upkeep: upkeep,
        };
        let of_workers = self.sockets.of_workers.into_iter();
        for (index, (sockets, stream_sockets)) in
            of_workers.zip(self.streams.of_workers).enumerate()
        {
            let worker = Worker {
                settings: Arc::clone(&self.settings),
                shared: Arc::clone(&self.shared),
                names: Arc::clone(&names),
                sockets,
                tls: self.tls.clone(),
                stream_sockets,
                stream_tls: Arc::clone(&self.stream_tls),
                io_uring: self.io_uring,
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

    /// What this proxy knows of host names.
    pub fn host_names(&self) -> HostNames {
        HostNames::new(Arc::clone(&self.names))
    }

    /// The addresses that sessions come to, in the order of
    /// [`StreamSettings::listen`](crate::StreamSettings::listen).
    pub fn stream_addresses(&self) -> &[SocketAddr] {
        &self.stream_addresses
    }

    /// Opens the files of the access logs anew, after something has moved them away. May block.
    pub fn reopener(&self) -> impl FnOnce() + Send + 'static {
        let (requests, sessions) = (self.access_log.clone(), self.stream_log.clone());
        move || {
            if let Some(log) = requests {
                log.reopen();
            }
            if let Some(log) = sessions {
                log.reopen();
            }
        }
    }

    /// The sockets that are listened on, to hand them on.
    ///
    /// # Errors
    /// When the system has no file left for another handle of one.
    pub fn sockets(&self) -> std::io::Result<Sockets> {
        self.sockets.try_clone()
    }

    /// Starts another proxy that serves the same with other settings, on the same sockets where
    /// they listen for the same. This one goes on until it is drained.
    ///
    /// # Errors
    /// As [`Proxy::start`]; nothing has changed then.
    pub fn successor(&self, settings: Settings) -> Result<Self, StartError> {
        let mut handed = self.sockets().map_err(StartError::Handles)?;
        Proxy::take_over(settings, Arc::clone(&self.shared), &mut handed)
    }

    /// Stops accepting, lets requests in flight finish, and returns when all connections have
    /// ended or `limit` is over. Idle connections are closed; others are told to close with their
    /// next response.
    ///
    /// Blocks the calling thread; in asynchronous code call it where blocking is allowed.
    pub fn drain(self, limit: Duration) -> Drained {
        self.drain_as(Drain {
            limit,
            ..Drain::default()
        })
    }

    /// As [`Self::drain`], with more to choose.
    pub fn drain_as(mut self, drain: Drain) -> Drained {
        self.end(drain);
        Drained {
            cut_off: self.join(),
        }
    }

    fn end(&mut self, drain: Drain) {
        // Nobody may connect to what nobody accepts from.
        self.sockets = Sockets::default();
        self.stop.send_replace(Some(End {
            deadline: Instant::now() + drain.limit,
            patience: drain.patience,
            is_succeeded: drain.is_succeeded,
        }));
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
        self.end(Drain::default());
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
