//! From an address to an upgraded connection.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use http::{HeaderMap, Request, StatusCode, header};
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::session::Monitored;
use super::{Client, Phase};
use crate::capability::Capabilities;
use crate::{OUTLET, capability, tls};

/// A connection attempt to the next address of a host begins while the last one is unanswered for
/// this long.
const STAGGER: Duration = Duration::from_millis(250);

/// Longest time that a control plane can keep a data plane away.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(600);

/// A connection after the upgrade.
pub(super) struct Established {
    pub(super) socket: WebSocketStream<Monitored<TlsStream<TcpStream>>>,
    pub(super) capabilities: Capabilities,
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) struct DialError {
    pub(super) phase: Phase,
    pub(super) reason: String,
    pub(super) retry_after: Option<Duration>,
}

impl DialError {
    fn new(phase: Phase, reason: impl ToString) -> Self {
        Self {
            phase,
            reason: reason.to_string(),
            retry_after: None,
        }
    }

    fn timeout(phase: Phase, limit: Duration) -> Self {
        Self::new(phase, format!("no answer within {} s", limit.as_secs_f32()))
    }

    /// The other end refuses a client certificate only after the handshake is done on this end: the
    /// alert comes in place of the answer to the upgrade.
    fn io(phase: Phase, error: &io::Error) -> Self {
        let (reason, tls) = tls::explain(error);
        Self::new(if tls { Phase::Tls } else { phase }, reason)
    }
}

/// Host and port of an address; a host of IPv6 stands in brackets.
pub(super) fn split(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port > 0)?;
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let host = match bare {
        Some(bare) => bare,
        None if host.contains(':') => return None,
        None => host,
    };
    (!host.is_empty()).then_some((host, port))
}

impl Client {
    pub(super) async fn dial(&self, address: &str) -> Result<Established, DialError> {
        let limits = &self.config.limits;
        let (host, port) =
            split(address).ok_or_else(|| DialError::new(Phase::Resolve, "not HOST:PORT"))?;
        let deadline = Instant::now() + limits.connect;
        let addresses: Vec<_> = timeout_at(deadline, lookup_host((host, port)))
            .await
            .map_err(|_| DialError::timeout(Phase::Resolve, limits.connect))?
            .map_err(|error| DialError::new(Phase::Resolve, error))?
            .collect();
        let stream = timeout_at(deadline, connect(addresses))
            .await
            .map_err(|_| DialError::timeout(Phase::Connect, limits.connect))?
            .map_err(|error| DialError::io(Phase::Connect, &error))?;
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => ServerName::try_from(host.to_owned())
                .map_err(|error| DialError::new(Phase::Tls, error))?,
        };
        let stream = timeout(limits.handshake, self.connector.connect(name, stream))
            .await
            .map_err(|_| DialError::timeout(Phase::Tls, limits.handshake))?
            .map_err(|error| DialError::io(Phase::Tls, &error))?;
        timeout(limits.handshake, self.upgrade(address, stream))
            .await
            .map_err(|_| DialError::timeout(Phase::Upgrade, limits.handshake))?
    }

    async fn upgrade(
        &self,
        address: &str,
        stream: TlsStream<TcpStream>,
    ) -> Result<Established, DialError> {
        let limits = &self.config.limits;
        let request = self
            .request(address)
            .map_err(|error| DialError::new(Phase::Upgrade, error))?;
        let config = WebSocketConfig::default()
            .max_message_size(Some(limits.max_payload))
            .max_frame_size(Some(limits.max_payload));
        let stream = Monitored::new(stream);
        match client_async_with_config(request, stream, Some(config)).await {
            Ok((socket, answer)) => Ok(Established {
                socket,
                capabilities: answer
                    .headers()
                    .get(&capability::HEADER)
                    .and_then(|list| list.to_str().ok())
                    .map(Capabilities::of)
                    .unwrap_or_default(),
            }),
            Err(tungstenite::Error::Http(answer)) => {
                let status = answer.status();
                let mut error = DialError::new(
                    Phase::Upgrade,
                    format!("unexpected HTTP response code: {}", status.as_u16()),
                );
                error.retry_after = retry_after(status, answer.headers());
                Err(error)
            }
            Err(tungstenite::Error::Io(error)) => Err(DialError::io(Phase::Upgrade, &error)),
            Err(error) => Err(DialError::new(Phase::Upgrade, error)),
        }
    }

    fn request(&self, address: &str) -> http::Result<Request<()>> {
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("node_id", &self.config.node_id.to_string())
            .append_pair("node_hostname", &self.config.hostname)
            .append_pair("node_version", &self.config.kong_version)
            .finish();
        Request::builder()
            .uri(format!("wss://{address}{OUTLET}?{query}"))
            .header(header::UPGRADE, "websocket")
            .header(header::HOST, address)
            .header(header::SEC_WEBSOCKET_KEY, generate_key())
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::CONNECTION, "Upgrade")
            .header(capability::HEADER, capability::ALL)
            .body(())
    }
}

/// Connects to the first address that answers. Attempts are staggered, so that an address that
/// swallows packets does not hold up the others.
async fn connect(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut attempts: FuturesUnordered<_> = addresses
        .into_iter()
        .zip(0..)
        .map(|(address, place)| async move {
            sleep(STAGGER * place).await;
            TcpStream::connect(address).await
        })
        .collect();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    while let Some(attempt) = attempts.next().await {
        match attempt {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// How long an overloaded control plane asks to be left alone.
fn retry_after(status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
    if !matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
    ) {
        return None;
    }
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    let seconds = value.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_a_port() {
        assert_eq!(split("cp.example.com:8005"), Some(("cp.example.com", 8005)));
        assert_eq!(split("[::1]:8005"), Some(("::1", 8005)));
        for wrong in [
            "", "cp", "cp:", ":8005", "cp:0", "cp:70000", "::1:8005", "[]:1",
        ] {
            assert_eq!(split(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_an_overloaded_server_can_ask_to_wait() {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, "7".parse().unwrap());
        let wait = |status, headers: &_| retry_after(status, headers);
        assert_eq!(
            wait(StatusCode::SERVICE_UNAVAILABLE, &headers),
            Some(Duration::from_secs(7))
        );
        assert_eq!(wait(StatusCode::FORBIDDEN, &headers), None);
        headers.insert(header::RETRY_AFTER, "99999999".parse().unwrap());
        assert_eq!(
            wait(StatusCode::TOO_MANY_REQUESTS, &headers),
            Some(MAX_RETRY_AFTER)
        );
        headers.insert(header::RETRY_AFTER, "soon".parse().unwrap());
        assert_eq!(wait(StatusCode::TOO_MANY_REQUESTS, &headers), None);
    }
}
