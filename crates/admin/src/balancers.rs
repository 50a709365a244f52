//! What a node that serves traffic tells of the targets of its upstreams.

use std::net::{IpAddr, SocketAddr};

use serde_json::{Value, json};
use uuid::Uuid;

/// The targets of upstreams as the node that serves traffic sees them.
pub trait Balancers: Send + Sync {
    /// The health of an upstream; none while it is not served.
    fn health(&self, upstream: Uuid) -> Option<BalancerHealth>;

    /// Takes a target of an upstream out, or lets it in again: all its addresses, or one.
    ///
    /// # Errors
    ///
    /// Why nothing was changed.
    fn set_health(
        &self,
        upstream: Uuid,
        target: Uuid,
        address: Option<SocketAddr>,
        healthy: bool,
    ) -> Result<(), SetHealthError>;
}

/// Why the health of a target was not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetHealthError {
    /// The upstream does not serve (yet).
    #[error("Upstream {0} has no balancer")]
    NotServed(String),
    /// Without checks, health is not kept.
    #[error("no healthchecker found for {0}")]
    Unchecked(String),
    /// The target, or the address, is not among those of the upstream.
    #[error("target not found")]
    UnknownTarget,
}

/// The health of an upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct BalancerHealth {
    /// Whether any check is on.
    pub checked: bool,
    /// Whether enough of the weight is available.
    pub healthy: bool,
    /// Its targets, in their order.
    pub targets: Vec<TargetHealth>,
}

/// The health of a target.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetHealth {
    /// Id of the entity.
    pub id: Uuid,
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The kind of record that its addresses came from, or why there is none.
    pub dns: String,
    /// Its weight.
    pub weight: u32,
    /// Where it is found.
    pub addresses: Vec<AddressHealth>,
}

/// The health of one address of a target.
#[derive(Clone, Debug, PartialEq)]
pub struct AddressHealth {
    /// The address.
    pub ip: IpAddr,
    /// The port.
    pub port: u16,
    /// Its share of the load.
    pub weight: u32,
    /// Whether it may be chosen.
    pub available: bool,
}

#[derive(Default)]
struct Weight {
    total: u64,
    available: u64,
}

impl Weight {
    fn of<'a>(addresses: impl Iterator<Item = &'a AddressHealth>) -> Self {
        addresses.fold(Self::default(), |sum, address| {
            let weight = u64::from(address.weight);
            Self {
                total: sum.total + weight,
                available: sum.available + if address.available { weight } else { 0 },
            }
        })
    }

    fn json(&self) -> Value {
        json!({
            "total": self.total,
            "available": self.available,
            "unavailable": self.total - self.available,
        })
    }
}

fn word(healthy: bool) -> &'static str {
    if healthy { "HEALTHY" } else { "UNHEALTHY" }
}

impl BalancerHealth {
    /// A target by its id.
    pub(crate) fn target(&self, id: Uuid) -> Option<&TargetHealth> {
        self.targets.iter().find(|target| target.id == id)
    }

    /// `HEALTHY`, `UNHEALTHY`, `HEALTHCHECKS_OFF` or `DNS_ERROR`: that of the best address.
    pub(crate) fn of_target(&self, target: Option<&TargetHealth>) -> &'static str {
        let addresses = target.map_or(&[][..], |target| &target.addresses);
        if addresses.is_empty() {
            return "DNS_ERROR";
        }
        if !self.checked || target.is_none_or(|target| target.weight == 0) {
            return "HEALTHCHECKS_OFF";
        }
        word(addresses.iter().any(|address| address.available))
    }

    /// What is known of a target; addresses with their health in words.
    pub(crate) fn data(&self, target: &TargetHealth) -> Value {
        let off = !self.checked || target.weight == 0;
        target.json(|address| {
            let health = match off {
                true => "HEALTHCHECKS_OFF",
                false => word(address.available),
            };
            ("health", json!(health))
        })
    }

    /// The upstream as a whole.
    pub(crate) fn json(&self, id: Uuid) -> Value {
        let health = word(self.healthy);
        let addresses = self.targets.iter().flat_map(|target| &target.addresses);
        let hosts: Vec<Value> = self
            .targets
            .iter()
            .map(|target| target.json(|address| ("healthy", json!(address.available))))
            .collect();
        json!({
            "id": id,
            "health": if self.checked { health } else { "HEALTHCHECKS_OFF" },
            "balancer_health": health,
            "details": {
                "healthy": self.healthy,
                "weight": Weight::of(addresses).json(),
                "hosts": hosts,
            },
        })
    }
}

impl TargetHealth {
    fn json(&self, health: impl Fn(&AddressHealth) -> (&'static str, Value)) -> Value {
        let addresses: Vec<Value> = self
            .addresses
            .iter()
            .map(|address| {
                let (name, health) = health(address);
                json!({
                    "ip": address.ip,
                    "port": address.port,
                    "weight": address.weight,
                    name: health,
                })
            })
            .collect();
        json!({
            "host": self.host,
            "port": self.port,
            "dns": self.dns,
            "nodeWeight": self.weight,
            "weight": Weight::of(self.addresses.iter()).json(),
            "addresses": addresses,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(checked: bool, weight: u32, available: &[bool]) -> BalancerHealth {
        let addresses = available
            .iter()
            .zip(1..)
            .map(|(available, last)| AddressHealth {
                ip: [10, 0, 0, last].into(),
                port: 80,
                weight,
                available: *available,
            });
        BalancerHealth {
            checked,
            healthy: true,
            targets: vec![TargetHealth {
                id: Uuid::nil(),
                host: "a.test".to_owned(),
                port: 80,
                dns: "A".to_owned(),
                weight,
                addresses: addresses.collect(),
            }],
        }
    }

    #[test]
    fn a_target_is_as_healthy_as_its_best_address() {
        let word = |health: BalancerHealth| health.of_target(health.target(Uuid::nil()));
        assert_eq!(word(health(true, 5, &[false, true])), "HEALTHY");
        assert_eq!(word(health(true, 5, &[false, false])), "UNHEALTHY");
        assert_eq!(word(health(true, 5, &[])), "DNS_ERROR");
        assert_eq!(word(health(false, 5, &[true])), "HEALTHCHECKS_OFF");
        assert_eq!(word(health(true, 0, &[true])), "HEALTHCHECKS_OFF");
    }

    #[test]
    fn the_upstream_is_told_as_kong_tells_it() {
        let health = health(true, 5, &[false, true]);
        assert_eq!(
            health.json(Uuid::nil()),
            json!({
                "id": Uuid::nil(),
                "health": "HEALTHY",
                "balancer_health": "HEALTHY",
                "details": {
                    "healthy": true,
                    "weight": {"total": 10, "available": 5, "unavailable": 5},
                    "hosts": [{
                        "host": "a.test", "port": 80, "dns": "A", "nodeWeight": 5,
                        "weight": {"total": 10, "available": 5, "unavailable": 5},
                        "addresses": [
                            {"ip": "10.0.0.1", "port": 80, "weight": 5, "healthy": false},
                            {"ip": "10.0.0.2", "port": 80, "weight": 5, "healthy": true},
                        ],
                    }],
                },
            })
        );
    }
}
