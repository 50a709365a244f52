//! Which nodes registered and are gone, without comparing clocks.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use crate::Listed;
use crate::layout::is_of_a_node;

/// What the leader has seen of the objects that belong to nodes.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    /// By name: the state in which it was seen, and when it was first seen in it.
    seen: HashMap<String, (SystemTime, Duration)>,
}

impl Roster {
    /// Takes note of a list and returns the names that have not changed for `patience`.
    ///
    /// The storage's times are compared with each other alone, to tell whether something changed.
    pub(crate) fn observe(
        &mut self,
        now: Duration,
        patience: Duration,
        listed: &[Listed],
    ) -> Vec<String> {
        let mut seen = HashMap::with_capacity(listed.len());
        let mut gone = Vec::new();
        for object in listed.iter().filter(|object| is_of_a_node(&object.name)) {
            // Where the storage does not tell when something was written, nothing can be said.
            let Some(modified) = object.modified else {
                continue;
            };
            let since = match self.seen.get(&object.name) {
                Some((before, since)) if *before == modified => *since,
                _ => now,
            };
            if now >= since + patience {
                gone.push(object.name.clone());
            }
            seen.insert(object.name.clone(), (modified, since));
        }
        self.seen = seen;
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(100);
    const NODE: &str = "00000000-0000-0000-0000-000000000001";

    fn object(name: &str, modified: u64) -> Listed {
        Listed {
            name: name.to_owned(),
            bytes: 1,
            modified: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(modified)),
        }
    }

    #[test]
    fn only_what_has_not_changed_for_long_is_gone() {
        let mut roster = Roster::default();
        let observe = |roster: &mut Roster, now, modified| {
            let listed = [
                object(NODE, modified),
                object("lease.json", 0),
                object("notes", 0),
            ];
            roster.observe(Duration::from_secs(now), PATIENCE, &listed)
        };
        // What it says of the time is old by our clock, but it was not seen before.
        assert!(observe(&mut roster, 1000, 5).is_empty());
        assert!(observe(&mut roster, 1099, 5).is_empty());
        assert!(observe(&mut roster, 1100, 6).is_empty(), "it was refreshed");
        assert!(observe(&mut roster, 1199, 6).is_empty());
        assert_eq!(observe(&mut roster, 1200, 6), [NODE]);
    }

    #[test]
    fn where_the_storage_tells_no_times_nothing_is_gone() {
        let mut roster = Roster::default();
        let listed = [Listed {
            modified: None,
            ..object(NODE, 0)
        }];
        for now in [0, 1000, 2000] {
            assert!(
                roster
                    .observe(Duration::from_secs(now), PATIENCE, &listed)
                    .is_empty()
            );
        }
    }
}
