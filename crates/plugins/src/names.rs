//! Where the hosts are that plugins ask: by the gateway's own resolver, so that its `dns_*` settings
//! hold for them as well.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::net::{TcpStream, lookup_host};

/// The addresses of a host, later.
pub type Addresses = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Finds hosts.
pub trait HostNames: Send + Sync + 'static {
    /// The addresses of a host, in the order in which they are to be tried, with this port where
    /// what is known of the name has no other. The host may be an address, without brackets.
    fn addresses(&self, host: &str, port: u16) -> Addresses;
}

/// Finds hosts in the way of the node, or of the system until that is known. It may change while the
/// node runs.
#[derive(Clone, Default)]
pub(crate) struct Names(Arc<RwLock<Option<Arc<dyn HostNames>>>>);

impl Names {
    pub(crate) fn find_by(&self, names: Arc<dyn HostNames>) {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *current = Some(names);
    }

    fn current(&self) -> Option<Arc<dyn HostNames>> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The addresses of a host, in the order in which they are to be tried.
    pub(crate) async fn addresses(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        match self.current() {
            Some(names) => names.addresses(host, port).await,
            None => Ok(lookup_host((host, port)).await?.collect()),
        }
    }

    /// A connection to a host: to the first of its addresses that accepts one.
    pub(crate) async fn connect(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let addresses = self.addresses(host, port).await?;
        TcpStream::connect(addresses.as_slice()).await
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_known = self.current().is_some();
        f.debug_tuple("Names").field(&is_known).finish()
    }
}

/// For clients of HTTP. They put the port of the URL in the place of port 0.
impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let names = self.clone();
        Box::pin(async move {
            let found = names.addresses(name.as_str(), 0).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    /// Knows one name.
    struct One(SocketAddr);

    impl HostNames for One {
        fn addresses(&self, host: &str, _: u16) -> Addresses {
            let is_known = host == "there.test";
            let found = is_known.then(|| vec![self.0]);
            Box::pin(ready(found.ok_or(io::ErrorKind::NotFound.into())))
        }
    }

    #[tokio::test]
    async fn hosts_are_found_in_the_way_of_the_node() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let names = Names::default();
        assert_eq!(names.addresses("127.0.0.1", 1).await.unwrap()[0].port(), 1);
        let kept = names.clone();
        names.find_by(Arc::new(One(address)));
        assert_eq!(kept.addresses("there.test", 1).await.unwrap(), [address]);
        let connection = kept.connect("there.test", 1).await.unwrap();
        assert_eq!(connection.peer_addr().unwrap(), address);
        assert!(kept.connect("elsewhere.test", 1).await.is_err());
    }

    #[tokio::test]
    async fn clients_of_http_find_hosts_in_the_same_way() {
        let address = "192.0.2.1:7".parse().unwrap();
        let names = Names::default();
        names.find_by(Arc::new(One(address)));
        let found = names.resolve("there.test".parse().unwrap()).await.unwrap();
        assert_eq!(found.collect::<Vec<_>>(), [address]);
    }
}
