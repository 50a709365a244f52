//! Where plugins find hosts: by the proxy's resolver, with its `dns_*` settings.

use std::io;
use std::sync::Arc;

use keelgate_plugins::Registry;
use keelgate_plugins::names::{Addresses, HostNames};
use keelgate_proxy::Handle;

/// What a proxy knows of host names.
struct OfProxy(keelgate_proxy::HostNames);

impl HostNames for OfProxy {
    fn addresses(&self, host: &str, port: u16) -> Addresses {
        let (names, host) = (self.0.clone(), host.to_owned());
        Box::pin(async move {
            let found = names.addresses(&host, port).await;
            found.map_err(|problem| io::Error::new(io::ErrorKind::NotFound, problem))
        })
    }
}

/// Has plugins find hosts as this proxy does.
pub(crate) fn share(proxy: &Handle, registry: &Registry) {
    registry.find_hosts_by(Arc::new(OfProxy(proxy.host_names())));
}
