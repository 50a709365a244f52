//! Making a connection: TCP, TLS where it is asked for, and the first words.

use std::pin::Pin;
use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisConnectionInfo, RedisError, Value};
use rustls::ClientConfig;
use rustls::pki_types::{InvalidDnsNameError, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use super::Settings;
use crate::names::Names;
use crate::registry::Node;

/// Where a server is, and what it wants to hear first.
pub(super) struct Target {
    host: String,
    port: u16,
    names: Names,
    tls: Option<(ServerName<'static>, Arc<ClientConfig>)>,
    login: RedisConnectionInfo,
}

/// A connection, and what keeps it going.
pub(super) type Connected = (
    MultiplexedConnection,
    Pin<Box<dyn Future<Output = ()> + Send>>,
);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Login(#[from] RedisError),
}

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

impl Target {
    pub(super) fn new(settings: &Settings, node: &Node) -> Result<Self, InvalidDnsNameError> {
        let host = settings.host.as_deref().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = settings.server_name.as_deref().unwrap_or(host);
        let tls = match settings.ssl {
            true => {
                let name = ServerName::try_from(name.to_owned())?;
                Some((name, node.trust.client(settings.ssl_verify)))
            }
            false => None,
        };
        let present = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let mut login = RedisConnectionInfo::default()
            .set_db(settings.database)
            .set_skip_set_lib_name();
        if let Some(password) = present(&settings.password) {
            login = login.set_password(password);
            if let Some(username) = present(&settings.username) {
                login = login.set_username(username);
            }
        }
        Ok(Self {
            host: host.to_owned(),
            port: settings.port.unwrap_or(6379),
            names: node.names.clone(),
            tls,
            login,
        })
    }

    /// For people.
    pub(super) fn name(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Connects, logs in, and hears the server's first answer, so that a server that accepts
    /// connections and does not answer is not taken for one that does.
    pub(super) async fn connect(&self) -> Result<Connected, ConnectError> {
        let stream = self.names.connect(&self.host, self.port).await?;
        stream.set_nodelay(true)?;
        let stream: Box<dyn Duplex> = match &self.tls {
            None => Box::new(stream),
            Some((name, config)) => {
                let connector = TlsConnector::from(Arc::clone(config));
                Box::new(connector.connect(name.clone(), stream).await?)
            }
        };
        // Who asks knows how long to wait.
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let (mut connection, driver) =
            MultiplexedConnection::new_with_config(&self.login, stream, config).await?;
        let mut driver: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(driver);
        let ping = redis::cmd("PING");
        let first = async {
            match ping.query_async::<Value>(&mut connection).await {
                // Whom nothing but counting is allowed gets an answer, too.
                Err(error) if error.is_io_error() || error.is_connection_dropped() => Err(error),
                _ => Ok(()),
            }
        };
        tokio::select! {
            answered = first => answered?,
            () = &mut driver => {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
            }
        }
        Ok((connection, driver))
    }
}
