//! New connections to upstreams.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use keelgate_runtime::TlsProfile;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, TlsStream};

use super::pool::{Key, Pooled};
use super::{Fault, Pool};
use crate::net::{Connection, Stream, Timer};

/// Where a request is sent.
pub(crate) struct Peer<'r> {
    pub(crate) address: SocketAddr,
    /// The profile and the server's name.
    pub(crate) tls: Option<(&'r Arc<TlsProfile>, &'r str)>,
}

impl Peer<'_> {
    /// A connection to the peer: an idle one, or a new one within `limit`.
    pub(crate) async fn connect(
        &self,
        pool: &Pool,
        timer: &Timer,
        limit: Duration,
    ) -> Result<Pooled, Fault> {
        let key = Key {
            address: self.address,
            tls: self.tls.map(|(profile, name)| (profile.id, name.into())),
        };
        if let Some(pooled) = pool.take(&key) {
            return Ok(pooled);
        }
        let stream = timer
            .limit(limit, self.open())
            .await
            .map_err(|_| Fault::ConnectTimeout)??;
        Ok(Pooled {
            connection: Connection::new(stream),
            key,
            served: 0,
        })
    }

    async fn open(&self) -> Result<Stream, Fault> {
        let stream = TcpStream::connect(self.address)
            .await
            .map_err(Fault::Connect)?;
        // Heads and bodies are written whole; waiting to fill segments only costs time.
        let _ = stream.set_nodelay(true);
        let Some((profile, name)) = self.tls else {
            return Ok(Stream::Tcp(stream));
        };
        let name = ServerName::try_from(name.to_owned())
            .map_err(|error| Fault::Tls(io::Error::other(error)))?;
        let stream = TlsConnector::from(Arc::clone(&profile.config))
            .connect(name, stream)
            .await
            .map_err(Fault::Tls)?;
        Ok(Stream::Tls(Box::new(TlsStream::from(stream))))
    }
}
