//! A list of entities in parts, of which two lists share what they have in common.

use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Deserializer};
use uuid::Uuid;

/// Entities of one kind. A copy costs little; one that differs in few entities shares the other parts.
pub struct List<T>(Vec<Arc<[T]>>);

impl<T> List<T> {
    /// A list of these parts.
    pub fn of(parts: Vec<Arc<[T]>>) -> Self {
        Self(parts)
    }

    /// Its parts.
    pub fn parts(&self) -> &[Arc<[T]>] {
        &self.0
    }

    /// How many entities there are.
    pub fn len(&self) -> usize {
        self.0.iter().map(|part| part.len()).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entities.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flat_map(|part| part.iter())
    }

    /// The entities, each of which can be kept without a copy.
    pub fn picks(&self) -> impl Iterator<Item = Pick<T>> {
        let parts = self.0.iter();
        parts.flat_map(|part| {
            (0..part.len()).map(|at| Pick {
                part: Arc::clone(part),
                at,
            })
        })
    }

    /// Whether both are known to be the same: they consist of the same parts.
    pub fn is(&self, other: &Self) -> bool {
        let mut pairs = self.0.iter().zip(&other.0);
        self.0.len() == other.0.len() && pairs.all(|(one, other)| Arc::ptr_eq(one, other))
    }
}

impl<T: PartialEq> List<T> {
    /// What this list has in the place of what an earlier one had; costs the parts that they do not
    /// share. `id` tells an entity's identity.
    pub fn since<'a>(&'a self, earlier: &'a Self, id: impl Fn(&T) -> Uuid) -> Change<'a, T> {
        let gone = earlier.without(self);
        let mut gone: HashMap<Uuid, &T> = gone.map(|entity| (id(entity), entity)).collect();
        let new = self.without(earlier);
        let new = new.filter(|entity| {
            let id = id(entity);
            let is_same = gone.get(&id).is_some_and(|before| before == entity);
            if is_same {
                gone.remove(&id);
            }
            !is_same
        });
        let new = new.collect();
        Change {
            gone: gone.into_values().collect(),
            new,
        }
    }

    /// The entities of the parts that another list does not have.
    fn without<'a>(&'a self, other: &Self) -> impl Iterator<Item = &'a T> + use<'a, T> {
        let known: HashSet<_> = other
            .0
            .iter()
            .map(|part| Arc::as_ptr(part).cast::<()>())
            .collect();
        let parts = self.0.iter();
        let parts = parts.filter(move |part| !known.contains(&Arc::as_ptr(part).cast::<()>()));
        parts.flat_map(|part| part.iter())
    }
}

/// What has changed in a list.
#[derive(Debug)]
pub struct Change<'a, T> {
    /// The entities as they were before: removed ones, and changed ones.
    pub gone: Vec<&'a T>,
    /// The entities as they are now: changed ones, and new ones.
    pub new: Vec<&'a T>,
}

impl<T> Change<'_, T> {
    /// How much has changed.
    pub fn len(&self) -> usize {
        self.gone.len() + self.new.len()
    }

    /// Whether nothing has.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T: Clone> List<T> {
    /// Copies of all entities.
    pub fn to_vec(&self) -> Vec<T> {
        self.iter().cloned().collect()
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Clone for List<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: fmt::Debug> fmt::Debug for List<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<T> From<Vec<T>> for List<T> {
    fn from(entities: Vec<T>) -> Self {
        match entities.is_empty() {
            true => Self::default(),
            false => Self(vec![entities.into()]),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self::from)
    }
}

/// An entity of a list, which it keeps a part of.
#[derive(Debug)]
pub struct Pick<T> {
    part: Arc<[T]>,
    at: usize,
}

impl<T> Deref for Pick<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.part[self.at]
    }
}

impl<T> Borrow<T> for Pick<T> {
    fn borrow(&self) -> &T {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_the_entities_of_all_its_parts() {
        let parts: Vec<Arc<[u32]>> = vec![Arc::from([1, 2]), Arc::from([]), Arc::from([3])];
        let list = List::of(parts);
        assert_eq!((list.len(), list.to_vec()), (3, vec![1, 2, 3]));
        let picked: Vec<u32> = list.picks().map(|pick| *pick).collect();
        assert_eq!(picked, [1, 2, 3]);
        assert!(!list.is_empty() && List::<u32>::from(vec![]).is_empty());
    }

    #[test]
    fn what_has_changed_since_an_earlier_list_is_found_in_the_parts_that_differ() {
        let part = |pairs: &[(u128, char)]| -> Arc<[(u128, char)]> { pairs.into() };
        let id = |entity: &(u128, char)| Uuid::from_u128(entity.0);
        let shared = part(&[(1, 'a'), (2, 'b')]);
        let earlier = List::of(vec![
            Arc::clone(&shared),
            part(&[(3, 'c'), (4, 'd'), (5, 'e')]),
        ]);
        let list = List::of(vec![shared, part(&[(3, 'c'), (4, 'D')]), part(&[(6, 'f')])]);
        let mut change = list.since(&earlier, id);
        change.gone.sort();
        assert_eq!(change.gone, [&(4, 'd'), &(5, 'e')]);
        assert_eq!(change.new, [&(4, 'D'), &(6, 'f')]);
        assert_eq!(change.len(), 4);
        assert!(list.since(&list.clone(), id).is_empty());
    }

    #[test]
    fn lists_of_the_same_parts_are_the_same() {
        let (one, two): (Arc<[u32]>, Arc<[u32]>) = (Arc::from([1]), Arc::from([2]));
        let list = List::of(vec![Arc::clone(&one), Arc::clone(&two)]);
        assert!(list.is(&list.clone()) && List::<u32>::default().is(&List::default()));
        assert!(!list.is(&List::of(vec![one, Arc::from([2])])));
        assert!(!list.is(&List::of(vec![two])));
    }
}
