//! Which entities the last revisions have touched, so that whoever has one of them can have the next
//! without reading everything.

use std::collections::{BTreeSet, VecDeque};

use keelgate_entities::Object;

use crate::Position;

/// Kind and id.
pub(crate) type EntityKey = (String, String);

/// Entities that one step, and all steps together, may have touched to be remembered. What touched more
/// is read whole.
const MOST: usize = 4096;

/// Entities whose time runs out that may be among the changes of every revision.
pub(crate) const MOST_EXPIRING: usize = 1000;

/// What has become of entities since a revision.
#[derive(Clone, Debug, PartialEq)]
pub struct Changes {
    /// The revision that they are of.
    pub position: Position,
    /// Each entity that is, or may be, another one than before.
    pub entities: Vec<Changed>,
}

/// An entity as it is now.
#[derive(Clone, PartialEq)]
pub struct Changed {
    /// Its kind.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// What it is; none when it is no more.
    pub entity: Option<Object>,
}

impl std::fmt::Debug for Changed {
    /// Entities hold secrets and are left out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Changed")
            .field("kind", &self.kind)
            .field("id", &self.id)
            .field("is_there", &self.entity.is_some())
            .finish()
    }
}

/// What a transaction has touched; nothing once that is too much to be remembered.
#[derive(Clone, Debug)]
pub(crate) struct Touched(Option<BTreeSet<EntityKey>>);

impl Default for Touched {
    fn default() -> Self {
        Self(Some(BTreeSet::new()))
    }
}

impl Touched {
    pub(crate) fn add(&mut self, kind: &str, id: &str) {
        if let Some(keys) = &mut self.0 {
            keys.insert((kind.to_owned(), id.to_owned()));
            if keys.len() > MOST {
                self.0 = None;
            }
        }
    }

    pub(crate) fn add_all(&mut self) {
        self.0 = None;
    }
}

impl FromIterator<EntityKey> for Touched {
    fn from_iter<I: IntoIterator<Item = EntityKey>>(keys: I) -> Self {
        let keys: BTreeSet<_> = keys.into_iter().collect();
        Self((keys.len() <= MOST).then_some(keys))
    }
}

/// From one revision to a later one.
#[derive(Debug)]
struct Step {
    from: u64,
    to: u64,
    keys: BTreeSet<EntityKey>,
}

/// The last steps, without a gap.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    steps: VecDeque<Step>,
    keys: usize,
}

impl Journal {
    /// Notes what the revisions after `from` up to `to` have touched.
    pub(crate) fn note(&mut self, from: u64, to: u64, touched: Touched) {
        if self.steps.back().is_some_and(|last| last.to != from) {
            self.clear();
        }
        let Touched(Some(keys)) = touched else {
            self.clear();
            return;
        };
        self.keys += keys.len() + 1;
        self.steps.push_back(Step { from, to, keys });
        while self.keys > MOST
            && let Some(first) = self.steps.pop_front()
        {
            self.keys -= first.keys.len() + 1;
        }
    }

    /// Forgets all, since revisions do not lead on from those that are known.
    pub(crate) fn clear(&mut self) {
        self.steps.clear();
        self.keys = 0;
    }

    /// All that the revisions after `from` up to `to` have touched, and maybe some more; none where
    /// that is not known.
    pub(crate) fn since(&self, from: u64, to: u64) -> Option<BTreeSet<EntityKey>> {
        if from == to {
            return Some(BTreeSet::new());
        }
        let (first, last) = (self.steps.front()?, self.steps.back()?);
        if from > to || from < first.from || last.to < to {
            return None;
        }
        let steps = self.steps.iter().filter(|step| step.to > from);
        Some(steps.flat_map(|step| step.keys.iter().cloned()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touched(ids: &[&str]) -> Touched {
        let keys = ids.iter().map(|id| ("routes".to_owned(), (*id).to_owned()));
        keys.collect()
    }

    fn since(journal: &Journal, from: u64, to: u64) -> Option<Vec<String>> {
        let keys = journal.since(from, to)?;
        Some(keys.into_iter().map(|(_, id)| id).collect())
    }

    #[test]
    fn what_lies_between_two_revisions_is_told_where_all_of_it_is_known() {
        let mut journal = Journal::default();
        assert_eq!(since(&journal, 3, 3), Some(vec![]));
        assert_eq!(since(&journal, 3, 4), None);
        journal.note(3, 4, touched(&["a"]));
        journal.note(4, 6, touched(&["b", "c"]));
        journal.note(6, 7, touched(&[]));
        let ids = |ids: &[&str]| Some(ids.iter().map(|id| (*id).to_owned()).collect());
        assert_eq!(since(&journal, 3, 7), ids(&["a", "b", "c"]));
        assert_eq!(since(&journal, 4, 7), ids(&["b", "c"]));
        assert_eq!(since(&journal, 5, 7), ids(&["b", "c"]));
        assert_eq!(since(&journal, 6, 7), ids(&[]));
        assert_eq!(since(&journal, 2, 7), None, "older than what is known");
        assert_eq!(since(&journal, 6, 8), None, "newer than what is known");
        assert_eq!(since(&journal, 7, 6), None, "the database went back");
    }

    #[test]
    fn a_gap_or_too_much_is_not_bridged() {
        let mut journal = Journal::default();
        journal.note(3, 4, touched(&["a"]));
        journal.note(5, 6, touched(&["b"]));
        assert_eq!(since(&journal, 3, 6), None, "somebody else made revision 5");
        assert!(since(&journal, 5, 6).is_some());
        let mut many = Touched::default();
        for number in 0..=MOST {
            many.add("routes", &number.to_string());
        }
        journal.note(6, 7, many);
        assert_eq!(since(&journal, 5, 7), None);
        journal.note(7, 8, touched(&["c"]));
        assert!(since(&journal, 7, 8).is_some());
        for revision in 8..20_000 {
            journal.note(revision, revision + 1, touched(&["d"]));
        }
        assert!(journal.steps.len() <= MOST);
        assert_eq!(since(&journal, 8, 20_000), None, "forgotten");
        assert!(since(&journal, 19_000, 20_000).is_some());
    }
}
