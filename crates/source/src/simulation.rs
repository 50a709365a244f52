//! The machine under random orders of events, against the invariants of the design.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use keelgate_snapshot::{Digest, Identity};
use proptest::prelude::*;
use uuid::Uuid;

use crate::machine::{ChoiceSettings, Decision, Event, Machine};
use crate::{Offer, Source};

const DEADLINE: Duration = Duration::from_secs(3);

/// A document: its revision, when it was stated, and whether it is too old to begin to serve.
#[derive(Clone, Copy, Debug)]
struct Shown {
    revision: u64,
    stated: u64,
    stale: bool,
}

/// One thing that happens, before it is bound to what the machine does at that moment.
#[derive(Clone, Debug)]
enum Happening {
    Pass(u64),
    Cache(Option<Shown>),
    /// The answer to a storage's reading, if one is under way.
    Storage(usize, Result<Option<Shown>, ()>),
    DialFailed(usize),
    Connected,
    Stalled,
    Disconnected(usize),
    ControlPlane(Shown),
    Garbage,
    /// The end of the activation, if one is under way.
    Activation(bool),
}

fn happening() -> impl Strategy<Value = Happening> {
    let shown =
        (1..12_u64, 0..5_u64, prop::bool::weighted(0.1)).prop_map(|(revision, stated, stale)| {
            Shown {
                revision,
                stated,
                stale,
            }
        });
    let fresh = shown.clone().prop_map(|shown| Shown {
        stale: false,
        ..shown
    });
    prop_oneof![
        3 => (0..2500_u64).prop_map(Happening::Pass),
        1 => proptest::option::of(shown.clone()).prop_map(Happening::Cache),
        3 => (0..2_usize, proptest::option::of(shown.clone()), any::<bool>()).prop_map(
            |(index, shown, good)| {
                Happening::Storage(index, if good { Ok(shown) } else { Err(()) })
            }
        ),
        2 => (0..2_usize).prop_map(Happening::DialFailed),
        1 => Just(Happening::Connected),
        1 => Just(Happening::Stalled),
        1 => (0..2_usize).prop_map(Happening::Disconnected),
        2 => fresh.prop_map(Happening::ControlPlane),
        1 => Just(Happening::Garbage),
        4 => prop::bool::weighted(0.85).prop_map(Happening::Activation),
    ]
}

fn offer(source: Source, shown: Shown) -> Offer<()> {
    let revision = shown.revision;
    let identity = Identity {
        cluster_id: Uuid::from_u128(1),
        epoch: 1,
        revision,
        sha256: Digest::of(&revision.to_be_bytes()),
    };
    Offer {
        source,
        identity,
        stated_at: SystemTime::UNIX_EPOCH + Duration::from_secs(shown.stated),
        stale: shown.stale,
        empty: false,
        snapshot: (),
    }
}

struct World {
    machine: Machine<()>,
    now: Duration,
    reading: [bool; 2],
    activating: Option<Offer<()>>,
    served: Option<Offer<()>>,
    rejected: HashSet<Identity>,
    /// A good candidate that has been there, as long as nothing is served.
    candidate: Option<Identity>,
}

impl World {
    fn happens(&mut self, event: Event<()>) {
        let before = self.machine.served();
        for decision in self.machine.handle(self.now, event) {
            match decision {
                Decision::Fetch(index, _) => {
                    assert!(!self.reading[index], "a storage is read twice at once");
                    self.reading[index] = true;
                }
                Decision::Activate(offer) => {
                    assert!(self.activating.is_none(), "two activations at once");
                    assert!(
                        !self.rejected.contains(&offer.identity),
                        "quarantine is broken"
                    );
                    assert!(!offer.stale, "{} is too old", offer.identity);
                    if let Some(served) = &self.served {
                        assert!(
                            offer.identity.position() > served.identity.position(),
                            "{} after {}",
                            offer.identity,
                            served.identity
                        );
                    }
                    self.activating = Some(offer);
                }
                Decision::Restate(offer) => {
                    let served = self.served.as_mut().unwrap();
                    assert_eq!(offer.identity, served.identity);
                    assert!(offer.stated_at > served.stated_at, "time goes back");
                    served.stated_at = offer.stated_at;
                }
                Decision::Adopt(_) => panic!("all contents differ here"),
                Decision::LoadCache | Decision::Tell(_) => {}
            }
        }
        assert!(
            before.is_none() || self.machine.served().is_some(),
            "what was served is gone"
        );
        assert_eq!(
            self.machine.served().map(|(_, identity)| identity),
            self.served.as_ref().map(|served| served.identity)
        );
    }

    fn offered(&mut self, offer: &Offer<()>) {
        if !self.rejected.contains(&offer.identity) && !offer.stale {
            self.candidate = Some(offer.identity);
        }
    }

    fn apply(&mut self, happening: Happening) {
        match happening {
            Happening::Pass(millis) => self.pass(Duration::from_millis(millis)),
            Happening::Cache(shown) => {
                let offers: Vec<_> = shown.iter().map(|s| offer(Source::Cache, *s)).collect();
                offers.iter().for_each(|offer| self.offered(offer));
                self.happens(Event::CacheLoaded(offers));
            }
            Happening::Storage(index, answer) => {
                if !std::mem::take(&mut self.reading[index]) {
                    return;
                }
                match answer {
                    Ok(shown) => {
                        let offer = shown.map(|s| offer(Source::Storage(index), s));
                        if let Some(offer) = &offer {
                            self.offered(offer);
                        }
                        self.happens(Event::StorageFetched(index, offer));
                    }
                    Err(()) => self.happens(Event::StorageFailed(index)),
                }
            }
            Happening::DialFailed(n) => self.happens(Event::DialFailed(format!("cp{n}"))),
            Happening::Connected => self.happens(Event::Connected),
            Happening::Stalled => self.happens(Event::Stalled),
            Happening::Disconnected(n) => self.happens(Event::Disconnected(format!("cp{n}"))),
            Happening::ControlPlane(shown) => {
                let offer = offer(Source::ControlPlane, shown);
                self.happens(Event::SnapshotArrived(offer));
            }
            Happening::Garbage => self.happens(Event::DocumentRefused),
            Happening::Activation(good) => {
                let Some(offer) = self.activating.take() else {
                    return;
                };
                let identity = offer.identity;
                if good {
                    self.served = Some(offer);
                    self.happens(Event::Activated);
                } else {
                    self.rejected.insert(identity);
                    self.candidate.take_if(|candidate| *candidate == identity);
                    self.happens(Event::Rejected);
                }
            }
        }
    }

    /// Lets time pass, ticking whenever the machine asked for it.
    fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(wake) = self.machine.wake_at().filter(|wake| *wake <= end) {
            self.now = self.now.max(wake);
            self.happens(Event::Tick);
            let next = self.machine.wake_at();
            assert!(next.is_none_or(|next| next > self.now), "a busy loop");
        }
        self.now = end;
        if self.now >= DEADLINE && self.candidate.is_some() && self.rejected.is_empty() {
            assert!(
                self.served.is_some() || self.activating.is_some(),
                "a good candidate does not serve after the deadline"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_events_goes_back_goes_empty_or_waits_too_long(
        happenings in prop::collection::vec(happening(), 1..60),
        seed in any::<u64>(),
    ) {
        let settings = ChoiceSettings { control_planes: 2, storages: 2, ..ChoiceSettings::default() };
        let mut world = World {
            machine: Machine::new(settings, seed),
            now: Duration::ZERO,
            reading: [false; 2],
            activating: None,
            served: None,
            rejected: HashSet::new(),
            candidate: None,
        };
        world.happens(Event::Started(HashSet::new()));
        for happening in happenings {
            world.apply(happening);
        }
        world.pass(DEADLINE);

        // In the end the control plane comes back with the newest, and it serves.
        while world.activating.is_some() {
            world.apply(Happening::Activation(true));
        }
        world.apply(Happening::Connected);
        let newest = Shown { revision: 100, stated: 0, stale: false };
        world.apply(Happening::ControlPlane(newest));
        world.apply(Happening::Activation(true));
        prop_assert_eq!(world.served.as_ref().map(|s| s.identity.revision), Some(100));

        // Every later restatement of it arrives, and swaps nothing.
        let later = Shown { stated: 9, ..newest };
        world.apply(Happening::ControlPlane(later));
        prop_assert_eq!(world.served.map(|s| s.stated_at), Some(offer(Source::Cache, later).stated_at));
        prop_assert!(world.machine.is_current());
    }
}
