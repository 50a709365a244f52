//! The choice, case by case.

mod age;
mod authority;
mod candidates;
mod quarantine;

use keelgate_snapshot::Digest;
use uuid::Uuid;

use super::*;

const CP: &str = "cp.example:8005";

fn identity(epoch: u64, revision: u64) -> Identity {
    Identity {
        cluster_id: Uuid::from_u128(1),
        epoch,
        revision,
        sha256: Digest::of(format!("{epoch}-{revision}").as_bytes()),
    }
}

fn offer(source: Source, revision: u64) -> Offer<()> {
    Offer {
        source,
        identity: identity(1, revision),
        stated_at: SystemTime::UNIX_EPOCH,
        stale: false,
        empty: false,
        snapshot: (),
    }
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A started machine with one storage, and what it does on the way.
struct Bed {
    machine: Machine<()>,
    now: Duration,
}

impl Bed {
    fn new(control_planes: usize, storages: usize) -> Self {
        let settings = ChoiceSettings {
            control_planes,
            storages,
            ..ChoiceSettings::default()
        };
        let mut bed = Self {
            machine: Machine::new(settings, 5),
            now: Duration::ZERO,
        };
        let decisions = bed.happens(Event::Started(HashSet::new()));
        assert_eq!(decisions[0], Decision::LoadCache);
        assert_eq!(decisions.len(), 1 + storages, "storages are read at once");
        bed
    }

    fn happens(&mut self, event: Event<()>) -> Vec<Decision<()>> {
        self.machine.handle(self.now, event)
    }

    fn at(&mut self, now: Duration, event: Event<()>) -> Vec<Decision<()>> {
        self.now = now;
        self.happens(event)
    }

    fn serves(&mut self, decisions: &[Decision<()>], source: Source, revision: u64) {
        assert_eq!(decisions, [Decision::Activate(offer(source, revision))]);
        self.happens(Event::Activated);
        assert_eq!(self.machine.served(), Some((source, identity(1, revision))));
    }

    /// Lets the control plane deliver and serve a revision.
    fn obeys(&mut self, revision: u64) {
        self.happens(Event::Connected);
        if self.machine.cached.is_none() {
            self.happens(Event::CacheLoaded(Vec::new()));
        }
        let decisions = self.happens(Event::SnapshotArrived(offer(
            Source::ControlPlane,
            revision,
        )));
        self.serves(&decisions, Source::ControlPlane, revision);
    }
}
