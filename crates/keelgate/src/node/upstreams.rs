//! The targets of upstreams, as the APIs and the metrics tell them.

use std::net::SocketAddr;
use std::sync::Arc;

use keelgate_admin::{AddressHealth, BalancerHealth, Balancers, SetHealthError, TargetHealth};
use keelgate_balancer::{Balancer, Health, Resolution, TargetView};
use keelgate_runtime::{Shared, UpstreamEntry};
use keelgate_telemetry::metrics::TargetFacts;
use uuid::Uuid;

/// The upstreams that serve.
pub(crate) struct Upstreams(pub(crate) Arc<Shared>);

impl Upstreams {
    fn find(&self, id: Uuid) -> Option<Arc<UpstreamEntry>> {
        let runtime = self.0.load();
        let mut upstreams = runtime.upstreams().iter();
        upstreams.find(|entry| entry.upstream.id == id).cloned()
    }

    /// What metrics tell: every address of every target, and targets without one.
    pub(crate) fn facts(&self) -> Vec<TargetFacts> {
        let mut facts = Vec::new();
        for entry in self.0.load().upstreams() {
            let balancer = entry.balancer();
            for target in balancer.targets() {
                let state = |health: Health| health.as_str().to_ascii_lowercase();
                let fact = |address: String, health| TargetFacts {
                    upstream: entry.upstream.name.clone(),
                    target: target.address.to_string(),
                    address,
                    state: state(health),
                };
                if matches!(target.resolution, Resolution::Failed(_)) {
                    facts.push(fact(String::new(), Health::Unavailable));
                }
                let peers = balancer.peers_of(target.index);
                facts.extend(peers.map(|peer| fact(peer.address.to_string(), peer.health)));
            }
        }
        facts
    }
}

impl Balancers for Upstreams {
    fn health(&self, upstream: Uuid) -> Option<BalancerHealth> {
        let balancer = self.find(upstream)?.balancer();
        Some(BalancerHealth {
            checked: balancer.is_checked(),
            healthy: balancer.is_healthy(),
            targets: balancer
                .targets()
                .map(|target| target_health(&balancer, &target))
                .collect(),
        })
    }

    fn set_health(
        &self,
        upstream: Uuid,
        target: Uuid,
        address: Option<SocketAddr>,
        healthy: bool,
    ) -> Result<(), SetHealthError> {
        let entry = self
            .find(upstream)
            .ok_or_else(|| SetHealthError::NotServed(upstream.to_string()))?;
        let name = &entry.upstream.name;
        let balancer = entry.balancer();
        if !balancer.is_checked() {
            return Err(SetHealthError::Unchecked(name.clone()));
        }
        let targets = balancer.targets().filter(|known| known.id == target);
        let peers: Vec<_> = targets
            .flat_map(|target| balancer.peers_of(target.index))
            .filter(|peer| address.is_none_or(|address| peer.address == address))
            .collect();
        if peers.is_empty() {
            return Err(SetHealthError::UnknownTarget);
        }
        for peer in peers {
            if let Some(health) = balancer.set_healthy(peer.index, healthy) {
                tracing::warn!(
                    upstream = name,
                    target = %peer.target_address,
                    address = %peer.address,
                    health = health.as_str(),
                    "an operator has changed the health of a target"
                );
            }
        }
        Ok(())
    }
}

fn target_health(balancer: &Balancer, target: &TargetView<'_>) -> TargetHealth {
    TargetHealth {
        id: target.id,
        host: target.address.host.to_string(),
        port: target.address.port,
        dns: match target.resolution {
            Resolution::Pending => "unknown".to_owned(),
            Resolution::Found { record, .. } => record.as_str().to_owned(),
            Resolution::Failed(why) => why.to_string(),
        },
        weight: target.weight,
        addresses: balancer
            .peers_of(target.index)
            .map(|peer| AddressHealth {
                ip: peer.address.ip(),
                port: peer.address.port(),
                weight: peer.weight,
                available: peer.health != Health::Unhealthy,
            })
            .collect(),
    }
}
