//! Connections towards whoever is told about requests in lines.

use std::io;
use std::time::Duration;

use futures_util::FutureExt;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::batch::Batch;
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

    /// Sends records, which are lines.
    pub(crate) async fn send_lines(&self, records: &Batch) -> Result<(), String> {
        let lines = records.joined();
        let sent = timeout(self.limit, self.send_all(&lines)).await;
        sent.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(|problem| self.address.tell(&problem))
    }
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
