//! New connections to upstreams.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use keelgate_runtime::TlsProfile;
use keelgate_socket::Engine;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, TlsStream};

use super::links::{Links, Look, Place};
use super::pool::{Key, Pool, Pooled};
use super::{Call, Fault, http1, http2};
use crate::net::{Connection, Stream, Timer};

/// Where a request is sent, and how it is spoken to.
pub(crate) struct Peer<'r> {
    pub(crate) address: SocketAddr,
    /// The profile and the server's name.
    pub(crate) tls: Option<(&'r Arc<TlsProfile>, &'r str)>,
    /// Whether HTTP/2 is spoken; in clear without asking first.
    pub(crate) http2: bool,
}

impl Peer<'_> {
    /// A call at the peer: over a connection that is there, or over a new one within `limit`.
    pub(crate) async fn call(
        &self,
        engine: &Engine,
        pool: &Pool,
        links: &Links,
        timer: &Timer,
        limit: Duration,
    ) -> Result<Call, Fault> {
        let key = Key {
            address: self.address,
            tls: self.tls.map(|(profile, name)| (profile.id, name.into())),
        };
        if self.http2 {
            let place = timer
                .limit(limit, self.place(engine, links, &key))
                .await
                .map_err(|_| Fault::ConnectTimeout)??;
            return Ok(Call::Http2(Box::new(http2::Call::new(place))));
        }
        if let Some(pooled) = pool.take(&key) {
            return Ok(Call::Http1(http1::Call::new(pooled)));
        }
        let stream = timer
            .limit(limit, Box::pin(self.open(engine)))
            .await
            .map_err(|_| Fault::ConnectTimeout)??;
        let pooled = Pooled::new(Connection::new(stream), key);
        Ok(Call::Http1(http1::Call::new(pooled)))
    }

    async fn place(&self, engine: &Engine, links: &Links, key: &Key) -> Result<Place, Fault> {
        loop {
            match links.look(key) {
                Look::Place(place) => return Ok(place),
                Look::Wait(told) => told.notified().await,
                Look::Open(opening) => {
                    let stream = Box::pin(self.open(engine)).await?;
                    return opening.start(stream).await;
                }
            }
        }
    }

    /// A new connection. To be boxed where connections are used again: opening one takes more room
    /// than all else that a request waits for.
    pub(crate) async fn open(&self, engine: &Engine) -> Result<Stream, Fault> {
        let stream = TcpStream::connect(self.address)
            .await
            .map_err(Fault::Connect)?;
        // Heads and bodies are written whole; waiting to fill segments only costs time.
        let _ = stream.set_nodelay(true);
        let stream = engine.adopt(stream).map_err(Fault::Connect)?;
        let Some((profile, name)) = self.tls else {
            return Ok(Stream::Tcp(stream));
        };
        let name = ServerName::try_from(name.to_owned())
            .map_err(|error| Fault::Tls(io::Error::other(error)))?;
        let connector = TlsConnector::from(Arc::clone(&profile.config));
        let connecting = if self.http2 {
            connector
                .with_alpn(vec![b"h2".to_vec()])
                .connect(name, stream)
        } else {
            connector.connect(name, stream)
        };
        let stream = connecting.await.map_err(Fault::Tls)?;
        Ok(Stream::Tls(Box::new(TlsStream::from(stream))))
    }
}
