//! A list of entities in parts, of which two lists share what they have in common.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Deserializer};

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
    fn lists_of_the_same_parts_are_the_same() {
        let (one, two): (Arc<[u32]>, Arc<[u32]>) = (Arc::from([1]), Arc::from([2]));
        let list = List::of(vec![Arc::clone(&one), Arc::clone(&two)]);
        assert!(list.is(&list.clone()) && List::<u32>::default().is(&List::default()));
        assert!(!list.is(&List::of(vec![one, Arc::from([2])])));
        assert!(!list.is(&List::of(vec![two])));
    }
}
