//! Values by key, of which a later version costs what has changed.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

/// Changes that are kept apart from the base; with more, it is better to begin anew.
pub(super) const MOST_CHANGES: usize = 4096;

/// Values by key. Later versions share what they have in common.
pub struct Index<K, V, S> {
    base: Arc<HashMap<K, V, S>>,
    /// What differs from the base: another value, or none.
    changed: HashMap<K, Option<Arc<V>>, S>,
}

impl<K, V, S: Default> Default for Index<K, V, S> {
    fn default() -> Self {
        Self {
            base: Arc::default(),
            changed: HashMap::default(),
        }
    }
}

impl<K: fmt::Debug, V: fmt::Debug, S> fmt::Debug for Index<K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index")
            .field("base", &self.base)
            .field("changed", &self.changed)
            .finish()
    }
}

impl<K: Hash + Eq, V, S: BuildHasher + Default> FromIterator<(K, V)> for Index<K, V, S> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self {
            base: Arc::new(pairs.into_iter().collect()),
            changed: HashMap::default(),
        }
    }
}

impl<K: Hash + Eq, V, S: BuildHasher> Index<K, V, S> {
    /// The value of a key.
    pub fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        if !self.changed.is_empty()
            && let Some(changed) = self.changed.get(key)
        {
            return changed.as_deref();
        }
        self.base.get(key)
    }

    /// Whether the key has a value.
    pub fn contains_key<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.get(key).is_some()
    }
}

#[cfg(test)]
impl<K: Hash + Eq, V, S: BuildHasher> Index<K, V, S> {
    /// Everything that it holds.
    pub(super) fn held(&self) -> impl Iterator<Item = (&K, &V)> {
        let kept = self.base.iter();
        let kept = kept.filter(|(key, _)| !self.changed.contains_key(key));
        let changed = self.changed.iter();
        kept.chain(changed.filter_map(|(key, value)| Some((key, value.as_deref()?))))
    }
}

impl<K: Hash + Eq + Clone, V, S: BuildHasher + Clone> Index<K, V, S> {
    /// A version without some keys, and with some values; none where so much has changed since the
    /// base that it is better to begin anew.
    pub(super) fn after(
        &self,
        gone: impl IntoIterator<Item = K>,
        new: impl IntoIterator<Item = (K, V)>,
    ) -> Option<Self> {
        let mut changed = self.changed.clone();
        changed.extend(gone.into_iter().map(|key| (key, None)));
        let new = new.into_iter();
        changed.extend(new.map(|(key, value)| (key, Some(Arc::new(value)))));
        (changed.len() <= MOST_CHANGES).then(|| Self {
            base: Arc::clone(&self.base),
            changed,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::hash::RandomState;

    use super::*;

    type Numbers = Index<u32, &'static str, RandomState>;

    #[test]
    fn a_later_version_has_what_has_changed_and_everything_else() {
        let first: Numbers = [(1, "a"), (2, "b"), (3, "c")].into_iter().collect();
        let second = first.after([1, 2], [(2, "B"), (4, "d")]).unwrap();
        let third = second.after([4], [(1, "A")]).unwrap();
        let all = |index: &Numbers| [1, 2, 3, 4].map(|key| index.get(&key).copied());
        assert_eq!(all(&first), [Some("a"), Some("b"), Some("c"), None]);
        assert_eq!(all(&second), [None, Some("B"), Some("c"), Some("d")]);
        assert_eq!(all(&third), [Some("A"), Some("B"), Some("c"), None]);
        assert!(third.contains_key(&1) && !third.contains_key(&4));
    }

    #[test]
    fn with_too_many_changes_it_begins_anew() {
        let first = Numbers::default();
        let most = MOST_CHANGES as u32;
        let second = first.after([], (0..most).map(|key| (key, "x"))).unwrap();
        assert!(second.after([0], []).is_some());
        assert!(second.after([most], []).is_none());
    }
}
