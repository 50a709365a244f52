//! Targets and peers as others see them.

use std::net::SocketAddr;

use uuid::Uuid;

use super::{Balancer, Peer, PeerIndex, TargetIndex};
use crate::address::Address;
use crate::health::Health;
use crate::resolution::Resolution;

/// A target as others see it.
#[derive(Clone, Copy, Debug)]
pub struct TargetView<'a> {
    /// Which one.
    pub index: TargetIndex,
    /// Id of the entity.
    pub id: Uuid,
    /// Where it is, before any name is resolved.
    pub address: &'a Address,
    /// Share of the load of each of its peers, unless their records say otherwise; 0 takes it out.
    pub weight: u32,
    /// What is known of its addresses.
    pub resolution: &'a Resolution,
    /// That of its best peer; [`Health::Unavailable`] without any.
    pub health: Health,
}

/// A peer as others see it.
#[derive(Clone, Copy, Debug)]
pub struct PeerView<'a> {
    /// Which one.
    pub index: PeerIndex,
    /// The target that it belongs to.
    pub target: TargetIndex,
    /// Where the target is, before any name is resolved.
    pub target_address: &'a Address,
    /// Where the peer is.
    pub address: SocketAddr,
    /// What `Host` says instead of the target's name: that of the SRV record, where it is wanted.
    pub name: Option<&'a str>,
    /// Share of the load; 0 takes it out.
    pub weight: u32,
    /// Whether it may be chosen.
    pub health: Health,
    /// Requests under way.
    pub open: u32,
}

/// How much of an upstream's weight there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// Of all peers.
    pub total: u64,
    /// Of those that may be chosen.
    pub available: u64,
}

impl Balancer {
    /// The weight of some peers of this balancer.
    pub fn weigh<'a>(&self, peers: impl Iterator<Item = PeerView<'a>>) -> Weight {
        peers.fold(Weight::default(), |weight, peer| Weight {
            total: weight.total + u64::from(peer.weight),
            available: weight.available
                + match peer.health {
                    Health::Healthy | Health::Unchecked => u64::from(peer.weight),
                    Health::Unhealthy | Health::Unavailable => 0,
                },
        })
    }

    /// All targets, in the order given.
    pub fn targets(&self) -> impl Iterator<Item = TargetView<'_>> {
        (0..).zip(&self.targets).map(|(index, entry)| {
            let index = TargetIndex(index);
            let health = self
                .peers_of(index)
                .map(|peer| peer.health)
                .reduce(|one, other| match (one, other) {
                    (Health::Healthy, _) | (_, Health::Healthy) => Health::Healthy,
                    (Health::Unhealthy, _) | (_, Health::Unhealthy) => Health::Unhealthy,
                    (one, _) => one,
                });
            TargetView {
                index,
                id: entry.id,
                address: &entry.address,
                weight: entry.weight,
                resolution: &entry.resolution,
                health: health.unwrap_or(Health::Unavailable),
            }
        })
    }

    /// All peers, in the order of their targets.
    pub fn peers(&self) -> impl Iterator<Item = PeerView<'_>> {
        (0..)
            .zip(&self.peers)
            .map(|(index, peer)| self.view(PeerIndex(index), peer))
    }

    /// The peers of one target.
    pub fn peers_of(&self, target: TargetIndex) -> impl Iterator<Item = PeerView<'_>> {
        // Peers stand in the order of their targets.
        let from = self.peers.partition_point(|peer| peer.target < target.0);
        (from..)
            .zip(&self.peers[from..])
            .take_while(move |(_, peer)| peer.target == target.0)
            .map(|(index, peer)| self.view(PeerIndex(index as u32), peer))
    }

    /// What is known of a target's addresses; `None` for one of another balancer.
    pub fn resolution(&self, target: TargetIndex) -> Option<&Resolution> {
        let entry = self.targets.get(target.0 as usize)?;
        Some(&entry.resolution)
    }

    /// One peer; `None` for one of another balancer.
    pub fn peer(&self, index: PeerIndex) -> Option<PeerView<'_>> {
        let peer = self.peers.get(index.0 as usize)?;
        Some(self.view(index, peer))
    }

    fn view<'a>(&'a self, index: PeerIndex, peer: &'a Peer) -> PeerView<'a> {
        PeerView {
            index,
            target: TargetIndex(peer.target),
            target_address: &self.targets[peer.target as usize].address,
            address: peer.address,
            name: peer.name.as_deref(),
            weight: peer.weight,
            health: self.health(peer),
            open: peer.state.open(),
        }
    }
}
