//! Which plugins a request walks through.
//!
//! Several configurations of one plugin may apply to a request; exactly one of them runs, the most
//! specific: consumer and route and service, consumer and route, consumer and service, route and
//! service, consumer, route, service, global. All but the consumer is known when the snapshot is
//! compiled, so a chain holds, per plugin, one configuration for requests without a particular
//! consumer and tables for those with one. The choice falls when the plugin's turn comes, after
//! the plugins before it have authenticated the consumer.

use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;

use keelgate_plugins::Plugin;
use rustc_hash::FxHashMap;
use uuid::Uuid;

type Compiled = Arc<dyn Plugin>;
type ByConsumer = Arc<FxHashMap<Uuid, Compiled>>;

/// The plugins of a route, in order of priority.
#[derive(Default)]
pub struct Chain {
    links: Box<[Link]>,
}

/// One plugin's configurations for a route.
pub struct Link {
    /// For requests without a consumer that has its own.
    general: Option<Compiled>,
    /// Configurations of consumers, the most specific table first.
    of_consumers: Box<[ByConsumer]>,
}

impl Chain {
    /// The plugins, the greatest priority first.
    pub fn links(&self) -> &[Link] {
        &self.links
    }
}

impl Link {
    /// The configuration that runs for a request of `consumer`.
    pub fn resolve(&self, consumer: Option<Uuid>) -> Option<&dyn Plugin> {
        if let Some(consumer) = consumer {
            for table in &self.of_consumers {
                if let Some(plugin) = table.get(&consumer) {
                    return Some(&**plugin);
                }
            }
        }
        self.general.as_deref()
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain")
            .field("links", &self.links.len())
            .finish_non_exhaustive()
    }
}

/// A route and a service, either of which may be absent: what a configuration is bound to besides
/// a consumer.
type Place = (Option<Uuid>, Option<Uuid>);

/// All compiled configurations, by plugin and scope, from which chains are drawn.
#[derive(Default)]
pub(crate) struct Scopes {
    by_name: FxHashMap<String, Scoped>,
    /// Routes and services that some configuration names.
    named: FxHashMap<Uuid, ()>,
}

struct Scoped {
    priority: i32,
    general: FxHashMap<Place, Compiled>,
    of_consumers: FxHashMap<Place, FxHashMap<Uuid, Compiled>>,
}

impl Scopes {
    pub(crate) fn add(
        &mut self,
        name: &str,
        priority: i32,
        place: Place,
        consumer: Option<Uuid>,
        plugin: Compiled,
    ) {
        self.named
            .extend([place.0, place.1].into_iter().flatten().map(|id| (id, ())));
        let scoped = self
            .by_name
            .entry(name.to_owned())
            .or_insert_with(|| Scoped {
                priority,
                general: FxHashMap::default(),
                of_consumers: FxHashMap::default(),
            });
        match consumer {
            Some(consumer) => {
                let table = scoped.of_consumers.entry(place).or_default();
                table.insert(consumer, plugin);
            }
            None => {
                scoped.general.insert(place, plugin);
            }
        }
    }

    /// No more configurations come; chains can be drawn.
    pub(crate) fn finish(self) -> Chains {
        let mut ordered: Vec<Ordered> = self
            .by_name
            .into_iter()
            .map(|(name, scoped)| Ordered {
                name,
                priority: scoped.priority,
                general: scoped.general,
                of_consumers: scoped
                    .of_consumers
                    .into_iter()
                    .map(|(place, table)| (place, Arc::new(table)))
                    .collect(),
            })
            .collect();
        ordered.sort_by(|a, b| (Reverse(a.priority), &a.name).cmp(&(Reverse(b.priority), &b.name)));
        Chains {
            ordered,
            named: self.named,
            drawn: FxHashMap::default(),
        }
    }
}

struct Ordered {
    name: String,
    priority: i32,
    general: FxHashMap<Place, Compiled>,
    of_consumers: FxHashMap<Place, ByConsumer>,
}

/// Draws chains; routes that no configuration tells apart share one.
pub(crate) struct Chains {
    ordered: Vec<Ordered>,
    named: FxHashMap<Uuid, ()>,
    drawn: FxHashMap<Place, Arc<Chain>>,
}

impl Chains {
    /// The chain of a route and its service.
    pub(crate) fn draw(&mut self, route: Option<Uuid>, service: Option<Uuid>) -> Arc<Chain> {
        let named = |id: &Uuid| self.named.contains_key(id);
        let place = (route.filter(named), service.filter(named));
        if let Some(chain) = self.drawn.get(&place) {
            return Arc::clone(chain);
        }
        let chain = Arc::new(self.build(place));
        self.drawn.insert(place, Arc::clone(&chain));
        chain
    }

    fn build(&self, (route, service): Place) -> Chain {
        let links = self
            .ordered
            .iter()
            .filter_map(|plugin| plugin.link(route, service))
            .collect();
        Chain { links }
    }
}

impl Ordered {
    fn link(&self, route: Option<Uuid>, service: Option<Uuid>) -> Option<Link> {
        let both = route.is_some() && service.is_some();
        let exact = both.then(|| self.general.get(&(route, service))).flatten();
        let general = exact
            .or_else(|| route.and_then(|_| self.general.get(&(route, None))))
            .or_else(|| service.and_then(|_| self.general.get(&(None, service))))
            .or_else(|| self.general.get(&(None, None)));
        let mut places: Vec<Place> = Vec::with_capacity(4);
        if both {
            places.push((route, service));
        }
        if route.is_some() {
            places.push((route, None));
        }
        if service.is_some() {
            places.push((None, service));
        }
        // Route and service together outrank the consumer alone.
        if exact.is_none() {
            places.push((None, None));
        }
        let of_consumers: Box<[ByConsumer]> = places
            .iter()
            .filter_map(|place| self.of_consumers.get(place).cloned())
            .collect();
        (general.is_some() || !of_consumers.is_empty()).then(|| Link {
            general: general.cloned(),
            of_consumers,
        })
    }
}

#[cfg(test)]
mod tests {
    use keelgate_plugins::Phases;

    use super::*;

    /// A plugin that is told apart by the phases it takes part in.
    struct Marked(usize);

    impl Plugin for Marked {
        fn phases(&self) -> Phases {
            Phases {
                access: self.0 & 1 != 0,
                header_filter: self.0 & 2 != 0,
                body_filter: self.0 & 4 != 0,
                ..Phases::default()
            }
        }
    }

    fn marked(mark: usize) -> Compiled {
        Arc::new(Marked(mark))
    }

    fn mark_of(plugin: &dyn Plugin) -> usize {
        let phases = plugin.phases();
        usize::from(phases.access)
            | usize::from(phases.header_filter) << 1
            | usize::from(phases.body_filter) << 2
    }

    fn id(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    const ROUTE: u128 = 1;
    const SERVICE: u128 = 2;
    const CONSUMER: u128 = 3;

    /// Scopes from the strongest to the weakest: route, service, consumer.
    const ORDER: [(bool, bool, bool); 8] = [
        (true, true, true),
        (true, false, true),
        (false, true, true),
        (true, true, false),
        (false, false, true),
        (true, false, false),
        (false, true, false),
        (false, false, false),
    ];

    #[test]
    fn the_most_specific_configuration_runs() {
        for strongest in 0..ORDER.len() {
            let mut scopes = Scopes::default();
            for (at, (route, service, consumer)) in ORDER.iter().enumerate().skip(strongest) {
                scopes.add(
                    "p",
                    0,
                    (route.then(|| id(ROUTE)), service.then(|| id(SERVICE))),
                    consumer.then(|| id(CONSUMER)),
                    marked(at),
                );
            }
            let chain = scopes.finish().draw(Some(id(ROUTE)), Some(id(SERVICE)));
            let found = chain.links()[0].resolve(Some(id(CONSUMER))).unwrap();
            assert_eq!(mark_of(found), strongest);
        }
    }

    #[test]
    fn routes_that_nothing_tells_apart_share_a_chain() {
        let mut scopes = Scopes::default();
        scopes.add("p", 0, (None, None), None, marked(0));
        scopes.add("q", 0, (Some(id(9)), None), None, marked(0));
        let mut chains = scopes.finish();
        let one = chains.draw(Some(id(1)), None);
        let two = chains.draw(Some(id(2)), Some(id(5)));
        let own = chains.draw(Some(id(9)), None);
        assert!(Arc::ptr_eq(&one, &two));
        assert_eq!((one.links().len(), own.links().len()), (1, 2));
    }

    #[test]
    fn a_consumer_without_its_own_configuration_gets_the_general_one_or_none() {
        let mut scopes = Scopes::default();
        scopes.add("p", 0, (None, None), Some(id(CONSUMER)), marked(0));
        let chain = scopes.finish().draw(None, None);
        assert!(chain.links()[0].resolve(Some(id(CONSUMER))).is_some());
        assert!(chain.links()[0].resolve(Some(id(8))).is_none());
        assert!(chain.links()[0].resolve(None).is_none());
    }
}
