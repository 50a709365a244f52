//! How the connections of a thread are read and written.

use std::io;

use tokio::net::TcpStream;

use crate::driver;
use crate::kernel::Kernel;
use crate::ring::Ring;
use crate::socket::Socket;

/// How the connections of a thread are read and written.
#[derive(Clone, Debug, Default)]
pub struct Engine {
    ring: Option<Ring>,
}

impl Engine {
    /// Each connection by its own system calls, when tokio finds it ready.
    pub fn epoll() -> Self {
        Self::default()
    }

    /// All connections of this thread by one io_uring. To be called on a `LocalSet` or a local runtime;
    /// what it returns stays on the thread.
    ///
    /// # Errors
    /// What the kernel says that has no io_uring, one older than Linux 6.1, or forbids it.
    pub fn io_uring() -> io::Result<Self> {
        let ring = Ring::new()?;
        driver::spawn(&ring)?;
        Ok(Self { ring: Some(ring) })
    }

    /// Whether this is io_uring.
    pub fn is_io_uring(&self) -> bool {
        self.ring.is_some()
    }

    /// Takes a connection over. It stays with tokio when the ring cannot have it.
    ///
    /// # Errors
    /// When tokio cannot let go of it.
    pub fn adopt(&self, stream: TcpStream) -> io::Result<Socket> {
        match &self.ring {
            Some(ring) if ring.is_whole() => {
                Ok(Socket::on_ring(ring.clone(), stream.into_std()?.into()))
            }
            _ => Ok(Socket::from(stream)),
        }
    }
}

/// Whether the kernel lets this process use io_uring as it is used here.
///
/// # Errors
/// What the kernel says.
pub fn probe() -> io::Result<()> {
    // What is left to do for a ring that was closed may interrupt calls of the thread that had it.
    let probed = std::thread::spawn(|| Kernel::new().map(drop)).join();
    probed.unwrap_or_else(|_| Err(io::ErrorKind::Unsupported.into()))
}
