//! Sockets towards whoever is told about requests.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::names::Names;

/// Where datagrams or lines are sent.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// By which the host is found.
    pub(crate) names: Names,
}

impl Address {
    /// Puts the address before a problem.
    pub(crate) fn tell(&self, problem: &io::Error) -> String {
        format!("{}:{}: {problem}", self.host, self.port)
    }
}

/// Sends datagrams, each by itself. All are tried; the error is that of the first that failed.
pub(crate) async fn send_datagrams<D: AsRef<[u8]>>(
    address: &Address,
    limit: Duration,
    datagrams: impl IntoIterator<Item = D>,
) -> Result<(), String> {
    let send = async {
        let found = address.names.addresses(&address.host, address.port).await?;
        // Nobody says that nobody listens; the older family is where most receivers are.
        let peer = found.iter().find(|peer| peer.is_ipv4()).or(found.first());
        let peer = *peer.ok_or(io::ErrorKind::NotFound)?;
        let any = match peer.is_ipv4() {
            true => "0.0.0.0:0",
            false => "[::]:0",
        };
        let socket = UdpSocket::bind(any).await?;
        socket.connect(peer).await?;
        let mut outcome = Ok(());
        for datagram in datagrams {
            let sent = socket.send(datagram.as_ref()).await;
            outcome = outcome.and(sent.map(drop));
        }
        outcome
    };
    let sent = timeout(limit, send).await;
    sent.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(|problem| address.tell(&problem))
}

/// A receiver of lines over TCP, with or without TLS, and the connection to it.
pub(crate) struct Lines {
    address: Address,
    limit: Duration,
    keepalive: Duration,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    /// The last connection, and when it was used.
    kept: Mutex<Option<(Connection, Instant)>>,
}

enum Connection {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Lines {
    /// A receiver. `limit` is how long connecting and sending takes, at most; `keepalive`, how long
    /// an idle connection is kept; with the name that its certificate is verified for, where there
    /// is TLS.
    pub(crate) fn new(
        address: Address,
        limit: Duration,
        keepalive: Duration,
        tls: Option<(TlsConnector, ServerName<'static>)>,
    ) -> Self {
        Self {
            address,
            limit,
            keepalive,
            tls,
            kept: Mutex::new(None),
        }
    }

    async fn connect(&self) -> io::Result<Connection> {
        let Address { host, port, names } = &self.address;
        let connection = names.connect(host, *port).await?;
        Ok(match &self.tls {
            None => Connection::Plain(connection),
            Some((connector, name)) => {
                let connection = connector.connect(name.clone(), connection).await?;
                Connection::Tls(Box::new(connection))
            }
        })
    }

    async fn send_all(&self, lines: &[u8]) -> io::Result<()> {
        let mut kept = self.kept.lock().await;
        // Lets the runtime hear of a connection that was closed meanwhile.
        tokio::task::yield_now().await;
        // A connection that fails is not put back.
        let usable = kept
            .take_if(|(_, used)| used.elapsed() < self.keepalive)
            .and_then(|(mut connection, _)| connection.is_open().then_some(connection));
        let mut connection = match usable {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        match &mut connection {
            Connection::Plain(connection) => connection.write_all(lines).await?,
            Connection::Tls(connection) => {
                connection.write_all(lines).await?;
                connection.flush().await?;
            }
        }
        *kept = Some((connection, Instant::now()));
        Ok(())
    }

    /// Sends records, a line each.
    pub(crate) async fn send_lines(&self, records: &[Bytes]) -> Result<(), String> {
        self.send_bytes(&joined(records)).await
    }

    /// Sends lines.
    pub(crate) async fn send_bytes(&self, lines: &[u8]) -> Result<(), String> {
        let sent = timeout(self.limit, self.send_all(lines)).await;
        sent.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(|problem| self.address.tell(&problem))
    }
}

/// The lines of a text, which ends with the end of a line.
pub(crate) fn split(lines: &Bytes) -> impl Iterator<Item = &[u8]> {
    let lines = lines.strip_suffix(b"\n").unwrap_or(lines.as_ref());
    lines.split(|byte| *byte == b'\n')
}

/// Records, a line each.
pub(crate) fn joined(records: &[Bytes]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(records.iter().map(|record| record.len() + 1).sum());
    for record in records {
        lines.extend_from_slice(record);
        lines.push(b'\n');
    }
    lines
}

impl Connection {
    /// Whether the receiver has not closed it, as far as is known here. What a receiver has to say
    /// is of no interest.
    fn is_open(&mut self) -> bool {
        let mut said = [0; 256];
        let read = match self {
            Self::Plain(connection) => connection.read(&mut said).now_or_never(),
            Self::Tls(connection) => connection.read(&mut said).now_or_never(),
        };
        match read {
            None => true,
            Some(read) => read.is_ok_and(|length| length > 0),
        }
    }
}
