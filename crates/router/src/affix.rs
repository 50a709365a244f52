//! A table that finds every key which a text starts or ends with.

use rustc_hash::FxHashMap;

/// Values by byte string, found by the prefixes or suffixes of a text.
///
/// A look-up costs one hash probe per distinct key length, however many keys there are. The number
/// of lengths is the configuration's, never the client's.
pub(crate) struct AffixTable<T> {
    /// Distinct key lengths, longest first.
    lengths: Box<[usize]>,
    values: FxHashMap<Box<[u8]>, T>,
}

impl<T> AffixTable<T> {
    pub(crate) fn prefixes_of<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = &'a T> {
        self.lengths
            .iter()
            .filter_map(move |&length| self.values.get(text.get(..length)?))
    }

    pub(crate) fn suffixes_of<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = &'a T> {
        self.lengths.iter().filter_map(move |&length| {
            let start = text.len().checked_sub(length)?;
            self.values.get(&text[start..])
        })
    }
}

impl<T> FromIterator<(Box<[u8]>, T)> for AffixTable<T> {
    fn from_iter<I: IntoIterator<Item = (Box<[u8]>, T)>>(entries: I) -> Self {
        let values: FxHashMap<_, _> = entries.into_iter().collect();
        let mut lengths: Vec<usize> = values.keys().map(|key| key.len()).collect();
        lengths.sort_unstable_by(|a, b| b.cmp(a));
        lengths.dedup();
        Self {
            lengths: lengths.into(),
            values,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::AffixTable;

    fn table(keys: &[&str]) -> AffixTable<String> {
        keys.iter()
            .map(|key| (key.as_bytes().into(), key.to_string()))
            .collect()
    }

    #[test]
    fn every_prefix_is_found_longest_first() {
        let table = table(&["/a", "/a/b", "/ab", "", "/c"]);
        let found: Vec<_> = table.prefixes_of(b"/a/b/c").collect();
        assert_eq!(found, ["/a/b", "/a", ""]);
    }

    #[test]
    fn every_suffix_is_found_longest_first() {
        let table = table(&[".test", ".a.test", "test", ".b.test"]);
        let found: Vec<_> = table.suffixes_of(b"x.a.test").collect();
        assert_eq!(found, [".a.test", ".test", "test"]);
    }

    #[test]
    fn keys_longer_than_the_text_are_passed_over() {
        let table = table(&["/long/key"]);
        assert_eq!(table.prefixes_of(b"/l").count(), 0);
        assert_eq!(table.suffixes_of(b"y").count(), 0);
    }
}
