//! One worker's view of names.

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use keelgate_balancer::Endpoint;

use super::{Names, NotResolved};

/// Finds addresses for one worker. Those of one name take turns.
pub(crate) struct Resolver {
    names: Arc<Names>,
    turn: Cell<usize>,
}

impl Resolver {
    pub(crate) fn new(names: Arc<Names>) -> Self {
        Self {
            names,
            turn: Cell::new(fastrand::usize(..)),
        }
    }

    /// Where `name` is found. A record with a port of its own (SRV) wins over `port`.
    pub(crate) async fn resolve(&self, name: &str, port: u16) -> Result<SocketAddr, NotResolved> {
        if let Ok(address) = name.parse::<IpAddr>() {
            return Ok(SocketAddr::new(address, port));
        }
        let answer = self.names.answer(name).await;
        let endpoint = self.choose(answer.endpoints()?);
        Ok(SocketAddr::new(endpoint.ip, endpoint.port.unwrap_or(port)))
    }

    /// The next one; where records have weights, one at random by weight.
    fn choose<'a>(&self, endpoints: &'a [Endpoint]) -> &'a Endpoint {
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        let next = &endpoints[turn % endpoints.len()];
        if next.weight.is_none() {
            return next;
        }
        let weight = |endpoint: &Endpoint| u64::from(endpoint.weight.unwrap_or(1));
        let mut left = fastrand::u64(..endpoints.iter().map(weight).sum::<u64>().max(1));
        let drawn = endpoints.iter().find(|endpoint| {
            let weight = weight(endpoint);
            let drawn = left < weight;
            left = left.saturating_sub(weight);
            drawn
        });
        drawn.unwrap_or(next)
    }
}
