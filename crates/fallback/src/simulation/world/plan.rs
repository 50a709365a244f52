//! What a seed makes of a world: who takes part, and what goes wrong how often.

use std::time::Duration;

use super::Millis;
use super::storage::{SOFTWARE, Software};
use crate::{Fencing, PublishSettings};

/// A rule that is broken on purpose, to see that the simulation finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mutation {
    /// Storages are written whatever is there.
    WritesWithoutComparing,
    /// Readers of a storage without conditions look at `config.json` alone.
    ReadsConfigOnly,
    /// One candidate takes a lease for abandoned after half a period.
    TakesOverEarly,
    /// A settled storage is never looked at again.
    NeverChecks,
    /// Pruning deletes all of the history.
    PrunesNewest,
    /// Publishers retry without a pause.
    RetriesAtOnce,
    /// Nobody takes an abandoned lease.
    NobodyTakesOver,
}

/// How a storage is.
#[derive(Clone, Debug)]
pub(super) struct StoragePlan {
    pub(super) fencing: Fencing,
    pub(super) throttles: bool,
    pub(super) lag: Millis,
    /// Bound of the delay of one way, for nodes near and far.
    pub(super) latency: [Millis; 2],
    /// How many of a thousand requests meet a fault.
    pub(super) faults: u32,
}

/// How a publishing node is.
#[derive(Clone, Debug)]
pub(super) struct NodePlan {
    pub(super) software: Software,
    /// The storage that is near.
    pub(super) region: usize,
    /// What its clock shows at the beginning, and by how many millionths it is fast or slow.
    pub(super) clock: (u64, i64),
}

#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) storages: Vec<StoragePlan>,
    /// The first is the control plane; the others hear of its snapshots.
    pub(super) nodes: Vec<NodePlan>,
    /// The version of the software of every reader.
    pub(super) readers: Vec<Software>,
    pub(super) pace: PublishSettings,
    pub(super) period: Duration,
    /// How many history objects are kept.
    pub(super) history: usize,
    /// How long things go wrong.
    pub(super) storm: Millis,
    /// Mean time between snapshots.
    pub(super) changes: Millis,
    /// Mean time between two troubles of a kind: pauses, deaths, damage, cut lines.
    pub(super) pauses: Millis,
    pub(super) deaths: Millis,
    pub(super) damage: Millis,
    pub(super) cuts: Millis,
    /// Whether the control plane is gone for good when the storm ends.
    pub(super) control_plane_lost: bool,
    pub(super) mutation: Option<Mutation>,
}

impl Plan {
    pub(super) fn draw(random: &mut fastrand::Rng, mutation: Option<Mutation>) -> Self {
        let never = Millis::MAX / 4;
        let storages = (0..random.usize(1..=2)).map(|_| StoragePlan {
            fencing: match random.u32(0..3) {
                0 => Fencing::None,
                _ => Fencing::Compare,
            },
            throttles: random.u32(0..4) == 0,
            lag: if random.u32(0..4) == 0 {
                random.u64(0..5000)
            } else {
                0
            },
            latency: [random.u64(2..60), random.u64(50..600)],
            faults: [0, 10, 60, 200][random.usize(0..4)],
        });
        let storages: Vec<_> = storages.collect();
        let upgrade = random.u32(0..3) == 0;
        let skewed = random.bool();
        let nodes = (0..random.usize(2..=5)).map(|_| NodePlan {
            software: if upgrade {
                random.usize(0..SOFTWARE)
            } else {
                0
            },
            region: random.usize(0..storages.len()),
            clock: (
                random.u64(0..10_000_000),
                if skewed { random.i64(-300..=300) } else { 0 },
            ),
        });
        let nodes: Vec<_> = nodes.collect();
        let readers =
            (0..random.usize(1..=4)).map(|_| nodes[random.usize(0..nodes.len())].software);
        let readers = readers.collect();
        let mut rare = |mean: Millis| match random.u32(0..3) {
            0 => never,
            _ => mean,
        };
        let (pauses, deaths, damage, cuts) =
            (rare(12_000), rare(25_000), rare(15_000), rare(15_000));
        let check = Duration::from_secs(random.u64(8..25));
        let mut pace = PublishSettings {
            delay: Duration::from_millis([0, 1000, 5000][random.usize(0..3)]),
            check,
            check_unfenced: check / 2,
            relief: Duration::from_secs(random.u64(8..20)),
            ..PublishSettings::default()
        };
        match mutation {
            Some(Mutation::NeverChecks) => {
                pace.check = Duration::from_secs(1 << 30);
                pace.check_unfenced = pace.check;
            }
            Some(Mutation::RetriesAtOnce) => {
                pace.retry_base = Duration::from_millis(1);
                pace.retry_cap = pace.retry_base;
                pace.gap = Duration::ZERO;
            }
            _ => {}
        }
        Self {
            storages,
            nodes,
            readers,
            pace,
            period: Duration::from_secs(10),
            history: random.usize(1..6),
            storm: random.u64(20_000..120_000),
            changes: [300, 3000, 12_000][random.usize(0..3)],
            pauses,
            deaths,
            damage,
            cuts,
            control_plane_lost: random.u32(0..4) == 0,
            mutation,
        }
    }

    pub(super) fn breaks(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }
}
