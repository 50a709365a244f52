//! The rules of the choice: whose offer serves, and what stays as it is.

use std::time::Duration;

use keelgate_snapshot::Identity;

use super::{Decision, Machine, Served};
use crate::offer::Standing;
use crate::{Notice, Offer, Source};

impl<S: Clone> Machine<S> {
    pub(super) fn choose(&mut self, now: Duration, decisions: &mut Vec<Decision<S>>) {
        if self.activating.is_some() {
            return;
        }
        if !self.knows_the_last_life() {
            return;
        }
        if let Some(offer) = self.authority.take() {
            self.obey(now, offer, decisions);
        }
        if self.activating.is_none() && self.released && !self.current {
            self.fall_back(decisions);
        }
    }

    /// Whether it is known what a former life served, or something else counts more by now.
    fn knows_the_last_life(&self) -> bool {
        self.cached.is_some() || self.served.is_some() || self.past_deadline()
    }

    /// What counts as served: until something is, what a former life served last. A restart is no
    /// way back.
    fn last_served(&self) -> Option<Identity> {
        let last_life = || {
            let mut cached = self.cached.iter().flatten();
            cached
                .find(|known| !self.quarantine.contains(known))
                .copied()
        };
        match self.served {
            Some(served) => Some(served.identity),
            None => last_life(),
        }
    }

    /// Keeps what the control plane offers in vain, for the case that nothing better can be used.
    fn put_off(&mut self, offer: Offer<S>) {
        if self.served.is_none() {
            self.candidates.push(offer);
        }
    }

    /// Decides upon an offer of the control plane.
    fn obey(&mut self, now: Duration, offer: Offer<S>, decisions: &mut Vec<Decision<S>>) {
        let offered = offer.identity;
        if self.quarantine.contains(&offered) {
            let source = offer.source;
            self.away(now);
            self.tell(Notice::Quarantined { source, offered }, decisions);
            return;
        }
        let served = self.last_served();
        match (Standing::of(&offered, served.as_ref()), served) {
            (Standing::Newer, _) | (_, None) => self.activate(offer, decisions),
            (Standing::Same | Standing::Renamed, _) if self.served.is_none() => {
                self.activate(offer, decisions);
            }
            (Standing::Same, _) => {
                if let Some(served) = &mut self.served {
                    served.source = Source::ControlPlane;
                }
                self.restate(offer, decisions);
                self.arrived();
                self.tell(Notice::Confirmed(offered), decisions);
            }
            (Standing::Renamed, _) => {
                self.served = Some(Served::of(&offer));
                self.arrived();
                decisions.push(Decision::Adopt(offer));
            }
            // A Kong control plane numbers by its clock, and two of them have two clocks: what it
            // says last is what counts.
            (Standing::Older | Standing::Fork, Some(_)) if offered.epoch == 0 => {
                self.activate(offer, decisions);
            }
            (Standing::Older, Some(served)) => {
                self.away(now);
                self.put_off(offer);
                self.tell(Notice::ControlPlaneBehind { offered, served }, decisions);
            }
            (Standing::Fork, Some(served)) => {
                let source = offer.source;
                self.away(now);
                self.put_off(offer);
                let fork = Notice::Fork {
                    source,
                    offered,
                    served,
                };
                self.tell(fork, decisions);
            }
            (Standing::Foreign, Some(served)) if offer.empty => {
                self.away(now);
                self.tell(Notice::EmptyCluster { offered, served }, decisions);
            }
            (Standing::Foreign, Some(served)) => {
                self.tell(Notice::ClusterChanged { offered, served }, decisions);
                self.activate(offer, decisions);
            }
        }
    }

    /// Serves the best candidate, if it is better than what is served.
    fn fall_back(&mut self, decisions: &mut Vec<Decision<S>>) {
        let served = self.served.map(|served| served.identity);
        let mut best: Option<Offer<S>> = None;
        for offer in std::mem::take(&mut self.candidates) {
            if self.quarantine.contains(&offer.identity) {
                let (source, offered) = (offer.source, offer.identity);
                self.tell(Notice::Quarantined { source, offered }, decisions);
                continue;
            }
            match (Standing::of(&offer.identity, served.as_ref()), served) {
                (Standing::Newer | Standing::Renamed, _) => {
                    let better = best.as_ref().is_none_or(|best| {
                        let standing = Standing::of(&offer.identity, Some(&best.identity));
                        matches!(standing, Standing::Newer | Standing::Renamed)
                    });
                    // What is not best now may be it after a rejection.
                    let other = if better {
                        best.replace(offer)
                    } else {
                        Some(offer)
                    };
                    self.candidates.extend(other);
                }
                (Standing::Fork, Some(served)) => {
                    let (source, offered) = (offer.source, offer.identity);
                    let fork = Notice::Fork {
                        source,
                        offered,
                        served,
                    };
                    self.tell(fork, decisions);
                }
                (Standing::Foreign, Some(served)) => {
                    let (source, offered) = (offer.source, offer.identity);
                    let foreign = Notice::Foreign {
                        source,
                        offered,
                        served,
                    };
                    self.tell(foreign, decisions);
                }
                (Standing::Same, Some(_)) => self.restate(offer, decisions),
                (Standing::Same | Standing::Older, _) | (_, None) => {}
            }
        }
        match best {
            Some(offer) if Standing::of(&offer.identity, served.as_ref()) == Standing::Renamed => {
                self.served = Some(Served::of(&offer));
                decisions.push(Decision::Adopt(offer));
            }
            Some(offer) => self.activate(offer, decisions),
            None if served.is_none() && self.past_deadline() && !self.told_empty => {
                self.told_empty = true;
                decisions.push(Decision::Tell(Notice::Empty));
            }
            None => {}
        }
    }

    /// Takes over the time of a restatement of what is served. An older one is of no use: whoever
    /// plays it back wins nothing.
    fn restate(&mut self, offer: Offer<S>, decisions: &mut Vec<Decision<S>>) {
        if let Some(served) = &mut self.served
            && offer.stated_at > served.stated_at
        {
            served.stated_at = offer.stated_at;
            decisions.push(Decision::Restate(offer));
        }
    }

    fn activate(&mut self, offer: Offer<S>, decisions: &mut Vec<Decision<S>>) {
        self.told.clear();
        self.activating = Some(Served::of(&offer));
        decisions.push(Decision::Activate(offer));
    }

    /// Tells something that has not just been told.
    fn tell(&mut self, notice: Notice, decisions: &mut Vec<Decision<S>>) {
        const REMEMBERED: usize = 32;
        if self.told.contains(&notice) {
            return;
        }
        if self.told.len() == REMEMBERED {
            self.told.remove(0);
        }
        self.told.push(notice);
        decisions.push(Decision::Tell(notice));
    }
}
