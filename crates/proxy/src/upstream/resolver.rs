//! Host names to addresses.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use tokio::time::Instant;

use crate::settings::Dns;

/// Names remembered at most; beyond, the whole memory is emptied.
const MAX_NAMES: usize = 16_384;

/// A name has no address, or nobody could be asked.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotResolved(Rc<str>);

/// Resolves names for one core and remembers the answers, good and bad.
///
/// The system's hosts file and `localhost` are honoured. Addresses of one name take turns.
pub(crate) struct Resolver {
    settings: Dns,
    /// Made with the first name that is asked for: it needs the core's event loop.
    asker: OnceCell<Result<TokioResolver, NotResolved>>,
    known: RefCell<HashMap<Rc<str>, Answer>>,
}

struct Answer {
    addresses: Result<Rc<[IpAddr]>, NotResolved>,
    valid_until: Instant,
    turn: Cell<usize>,
}

impl Resolver {
    pub(crate) fn new(settings: Dns) -> Self {
        Self {
            settings,
            asker: OnceCell::new(),
            known: RefCell::default(),
        }
    }

    /// An address of `name`.
    pub(crate) async fn resolve(&self, name: &str) -> Result<IpAddr, NotResolved> {
        if let Ok(address) = name.parse() {
            return Ok(address);
        }
        if let Some(answer) = self.remembered(name) {
            return answer;
        }
        let answer = self.ask(name).await;
        let first = answer.next();
        let mut known = self.known.borrow_mut();
        if known.len() >= MAX_NAMES {
            known.clear();
        }
        known.insert(Rc::from(name), answer);
        first
    }

    fn remembered(&self, name: &str) -> Option<Result<IpAddr, NotResolved>> {
        let known = self.known.borrow();
        let answer = known.get(name)?;
        (answer.valid_until > Instant::now()).then(|| answer.next())
    }

    async fn ask(&self, name: &str) -> Answer {
        let found = match self.asker.get_or_init(|| self.make_asker()) {
            Ok(asker) => asker
                .lookup_ip(name)
                .await
                .map_err(|error| NotResolved(error.to_string().into())),
            Err(error) => Err(error.clone()),
        };
        let now = Instant::now();
        let failure_ttl = self.settings.failure_ttl.unwrap_or(Duration::from_secs(1));
        match found {
            Ok(found) => {
                let valid_until = match self.settings.valid_ttl {
                    Some(ttl) => now + ttl,
                    None => Instant::from_std(found.valid_until()),
                };
                let addresses: Rc<[IpAddr]> = found.iter().collect();
                if addresses.is_empty() {
                    return Answer::new(
                        Err(NotResolved("the name has no address".into())),
                        now + failure_ttl,
                    );
                }
                Answer::new(Ok(addresses), valid_until)
            }
            Err(error) => Answer::new(Err(error), now + failure_ttl),
        }
    }

    fn make_asker(&self) -> Result<TokioResolver, NotResolved> {
        let failed = |error: &dyn std::fmt::Display| {
            NotResolved(format!("the resolver cannot be set up: {error}").into())
        };
        let mut builder = if self.settings.servers.is_empty() {
            TokioResolver::builder_tokio().map_err(|error| failed(&error))?
        } else {
            let servers = self.settings.servers.iter().map(name_server).collect();
            TokioResolver::builder_with_config(
                ResolverConfig::from_parts(None, Vec::new(), servers),
                TokioRuntimeProvider::default(),
            )
        };
        let options = builder.options_mut();
        options.ip_strategy = LookupIpStrategy::Ipv4thenIpv6;
        // Remembering is done here, per name and with the node's own times.
        options.cache_size = 0;
        builder.build().map_err(|error| failed(&error))
    }
}

impl Answer {
    fn new(addresses: Result<Rc<[IpAddr]>, NotResolved>, valid_until: Instant) -> Self {
        Self {
            addresses,
            valid_until,
            turn: Cell::new(0),
        }
    }

    fn next(&self) -> Result<IpAddr, NotResolved> {
        let addresses = self.addresses.as_ref().map_err(Clone::clone)?;
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        Ok(addresses[turn % addresses.len()])
    }
}

fn name_server(address: &SocketAddr) -> NameServerConfig {
    let with_port = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    NameServerConfig::new(
        address.ip(),
        true,
        vec![
            with_port(ConnectionConfig::udp()),
            with_port(ConnectionConfig::tcp()),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn literals_and_localhost_need_no_server() {
        let resolver = Resolver::new(Dns {
            servers: vec![SocketAddr::from(([127, 0, 0, 1], 9))],
            ..Dns::default()
        });
        assert_eq!(
            resolver.resolve("192.0.2.1").await.unwrap(),
            IpAddr::from([192, 0, 2, 1])
        );
        assert!(resolver.resolve("localhost").await.unwrap().is_loopback());
    }

    #[tokio::test(start_paused = true)]
    async fn answers_take_turns_and_expire() {
        let resolver = Resolver::new(Dns::default());
        let addresses: Rc<[IpAddr]> =
            Rc::new([IpAddr::from([1, 1, 1, 1]), IpAddr::from([2, 2, 2, 2])]);
        let until = Instant::now() + Duration::from_secs(5);
        resolver
            .known
            .borrow_mut()
            .insert("two.test".into(), Answer::new(Ok(addresses), until));
        let first = resolver.resolve("two.test").await.unwrap();
        let second = resolver.resolve("two.test").await.unwrap();
        assert_ne!(first, second);
        tokio::time::advance(Duration::from_secs(6)).await;
        assert!(resolver.remembered("two.test").is_none());
    }
}
