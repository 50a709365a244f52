//! Names for others than workers.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::{Names, NotResolved};

/// What a proxy knows of host names, by its `dns_*` settings. It ends with the proxy.
#[derive(Clone)]
pub struct HostNames(Arc<Names>);

impl HostNames {
    pub(crate) fn new(names: Arc<Names>) -> Self {
        Self(names)
    }

    /// The addresses of a host: an address itself, or those of a name, beginning with any of them.
    /// A record with a port of its own (SRV) wins over `port`.
    ///
    /// # Errors
    /// When there are none, in the words of the Admin API.
    pub async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, NotResolved> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let answer = self.0.answer(host).await;
        let endpoints = answer.endpoints()?;
        let mut addresses: Vec<SocketAddr> = endpoints
            .iter()
            .map(|endpoint| SocketAddr::new(endpoint.ip, endpoint.port.unwrap_or(port)))
            .collect();
        // Those who ask at the same time need not all ask the same server.
        let first = fastrand::usize(..addresses.len().max(1));
        addresses.rotate_left(first);
        Ok(addresses)
    }
}
