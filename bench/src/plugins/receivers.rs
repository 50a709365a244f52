//! Who is told about requests: peers that take everything and answer as little as they may.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};

use super::grpc;

/// Peers of the logging plugins.
pub(super) struct Receivers {
    /// The upstream, which also takes what is posted to it.
    pub(super) upstream: SocketAddr,
    /// Reads what comes, and forgets it.
    pub(super) tcp: SocketAddr,
    /// Never read: the kernel throws away what does not fit.
    udp: UdpSocket,
    pub(super) file: PathBuf,
    /// Takes whatever name and password for right, in the way of LDAP.
    pub(super) ldap: SocketAddr,
    /// A service of gRPC.
    pub(super) grpc: SocketAddr,
    /// Its description.
    pub(super) proto: PathBuf,
}

/// Answers each message of an LDAP client as if it were a bind with the right password (RFC 4511).
fn accept_binds(mut stream: TcpStream) -> std::io::Result<()> {
    let mut message = [0; 1024];
    loop {
        let read = stream.read(&mut message)?;
        // A sequence, its length, and the number of the message: 2, its length, its bytes.
        let number = message[..read]
            .get(2..5)
            .filter(|number| number[..2] == [2, 1]);
        let Some(&[.., number]) = number else {
            return Ok(());
        };
        let success = [0x30, 12, 2, 1, number, 0x61, 7, 0x0a, 1, 0, 4, 0, 4, 0];
        stream.write_all(&success)?;
    }
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
        let directory_server = TcpListener::bind("127.0.0.1:0")?;
        let ldap = directory_server.local_addr()?;
        std::thread::spawn(move || {
            for stream in directory_server.incoming().flatten() {
                std::thread::spawn(move || accept_binds(stream));
            }
        });
        let proto = directory.join("service.proto");
        std::fs::write(&proto, grpc::PROTO)?;
        Ok(Self {
            upstream,
            tcp,
            ldap,
            grpc: grpc::start()?,
            proto,
            udp: UdpSocket::bind("127.0.0.1:0")?,
            file: directory.join("records"),
        })
    }

    pub(super) fn udp(&self) -> anyhow::Result<u16> {
        Ok(self.udp.local_addr()?.port())
    }
}
