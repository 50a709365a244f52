//! Who is told about requests: peers that take everything and answer as little as they may.

use std::io::Read;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

/// Peers of the logging plugins.
pub(super) struct Receivers {
    /// The upstream, which also takes what is posted to it.
    pub(super) upstream: SocketAddr,
    /// Reads what comes, and forgets it.
    pub(super) tcp: SocketAddr,
    /// Never read: the kernel throws away what does not fit.
    udp: UdpSocket,
    pub(super) file: PathBuf,
}

impl Receivers {
    pub(super) fn open(directory: &Path, upstream: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let tcp = listener.local_addr()?;
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let mut buffer = vec![0; 256 * 1024];
                    while matches!(stream.read(&mut buffer), Ok(1..)) {}
                });
            }
        });
        Ok(Self {
            upstream,
            tcp,
            udp: UdpSocket::bind("127.0.0.1:0")?,
            file: directory.join("records"),
        })
    }

    pub(super) fn udp(&self) -> anyhow::Result<u16> {
        Ok(self.udp.local_addr()?.port())
    }
}
