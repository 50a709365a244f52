//! What the names of targets stand for: asked for before requests need it, and again when it has
//! run out.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use keelgate_balancer::{Host, Resolution, TargetIndex};
use keelgate_runtime::{Shared, UpstreamEntry};
use tokio::time::{Instant, sleep_until};

use crate::names::{Answer, Names};

/// How long name servers that have failed again and again are left alone at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(16);

/// Names of targets that are asked for at once.
const AT_ONCE: usize = 256;

/// A name, and what is known of it from now on.
type Told = (Arc<str>, Arc<Answer>);

/// Follows the names of all targets that serve.
pub(super) async fn follow(shared: &Shared, names: &Names) {
    let mut swaps = shared.swaps();
    let mut followed = Followed::default();
    let mut under_way = FuturesUnordered::new();
    followed.replace(shared.load().upstreams(), names);
    loop {
        let next = followed.next().filter(|_| under_way.len() < AT_ONCE);
        tokio::select! {
            swapped = swaps.changed() => {
                if swapped.is_err() {
                    return;
                }
                followed.replace(shared.load().upstreams(), names);
            }
            Some(told) = under_way.next() => {
                let mut all = vec![told];
                while let Some(Some(told)) = under_way.next().now_or_never() {
                    all.push(told);
                }
                followed.tell(&all);
            }
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                if let Some(name) = followed.due() {
                    under_way.push(async move {
                        let answer = names.fresh(Arc::clone(&name)).await;
                        (name, answer)
                    });
                }
            }
        }
    }
}

/// The names of targets, and where they are used.
#[derive(Default)]
struct Followed {
    upstreams: Vec<Arc<UpstreamEntry>>,
    names: HashMap<Arc<str>, Name>,
    /// When to ask for which name; those that are being asked for are not in it.
    schedule: BTreeSet<(Instant, Arc<str>)>,
}

struct Name {
    /// Upstreams by their place, and their targets.
    uses: Vec<(usize, TargetIndex)>,
    due: Instant,
}

impl Followed {
    /// Other upstreams serve. What is known of their names is theirs at once.
    fn replace(&mut self, upstreams: &[Arc<UpstreamEntry>], names: &Names) {
        upstreams.clone_into(&mut self.upstreams);
        let mut uses: HashMap<Arc<str>, Vec<(usize, TargetIndex)>> = HashMap::new();
        for (place, upstream) in upstreams.iter().enumerate() {
            for target in upstream.balancer().targets() {
                if let Host::Name(name) = &target.address.host {
                    let uses = match uses.get_mut(&**name) {
                        Some(uses) => uses,
                        None => uses.entry(name.as_ref().into()).or_default(),
                    };
                    uses.push((place, target.index));
                }
            }
        }
        let now = Instant::now();
        let mut known = Vec::new();
        self.schedule.clear();
        self.names = uses
            .into_iter()
            .map(|(name, uses)| {
                let answer = names.known(&name).filter(|answer| !answer.is_over(now));
                let due = answer.as_ref().map_or(now, |answer| due(answer, now));
                self.schedule.insert((due, Arc::clone(&name)));
                known.extend(answer.map(|answer| (Arc::clone(&name), answer)));
                (name, Name { uses, due })
            })
            .collect();
        self.apply(&known);
    }

    /// Answers have come.
    fn tell(&mut self, told: &[Told]) {
        let now = Instant::now();
        for (name, answer) in told {
            if let Some(own) = self.names.get_mut(name) {
                self.schedule.remove(&(own.due, Arc::clone(name)));
                own.due = due(answer, now);
                self.schedule.insert((own.due, Arc::clone(name)));
            }
        }
        self.apply(told);
    }

    /// Lets the upstreams use what is new to them.
    fn apply(&self, told: &[Told]) {
        let mut changes: HashMap<usize, Vec<(TargetIndex, &Resolution)>> = HashMap::new();
        for (name, answer) in told {
            for (place, target) in self.names.get(name).iter().flat_map(|name| &name.uses) {
                let change = (*target, &answer.resolution);
                changes.entry(*place).or_default().push(change);
            }
        }
        for (place, mut changes) in changes {
            let upstream = &self.upstreams[place];
            let balancer = upstream.balancer();
            changes
                .retain(|(target, resolution)| balancer.resolution(*target) != Some(*resolution));
            if changes.is_empty() {
                continue;
            }
            for (_, resolution) in &changes {
                tracing::debug!(
                    upstream = upstream.upstream.name,
                    ?resolution,
                    "a target's name stands for something else"
                );
            }
            let changes: Vec<_> = changes
                .into_iter()
                .map(|(target, resolution)| (target, resolution.clone()))
                .collect();
            upstream.resolve(&changes);
        }
    }

    /// When something is to be asked for next.
    fn next(&self) -> Option<Instant> {
        self.schedule.first().map(|(due, _)| *due)
    }

    /// The name whose turn it is.
    fn due(&mut self) -> Option<Arc<str>> {
        self.schedule.pop_first().map(|(_, name)| name)
    }
}

/// When to ask again. Name servers that fail are asked less and less.
fn due(answer: &Answer, now: Instant) -> Instant {
    match answer.failures {
        0 => answer.valid_until,
        failures => {
            let pause = Duration::from_secs(1 << (failures - 1).min(4)).min(LONGEST_PAUSE);
            answer.valid_until.max(now + pause)
        }
    }
}
