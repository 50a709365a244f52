//! What the groups of regular expressions caught.

use crate::pattern::Pattern;

/// The captures of a match: groups by number, written as text, and by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captures {
    groups: Vec<(String, String)>,
}

impl Captures {
    /// The captures of one expression; `None` when nothing but the whole match was caught.
    pub(crate) fn of(pattern: &Pattern, text: &str) -> Option<Self> {
        let mut captures = Self::default();
        captures.add(pattern, text);
        captures.beyond_the_whole()
    }

    /// The same with another text as the whole match.
    pub(crate) fn with_whole(mut self, text: &str) -> Self {
        self.set("0".to_owned(), text);
        self
    }

    /// Adds what `pattern` catches in `text`; groups of the same number or name are replaced.
    pub(crate) fn add(&mut self, pattern: &Pattern, text: &str) {
        for (number, name, text) in pattern.captures(text) {
            self.set(number.to_string(), text);
            if let Some(name) = name {
                self.set(name, text);
            }
        }
    }

    fn set(&mut self, key: String, text: &str) {
        let text = text.to_owned();
        match self.groups.iter_mut().find(|(own, _)| *own == key) {
            Some((_, own)) => *own = text,
            None => self.groups.push((key, text)),
        }
    }

    /// `None` when nothing but a whole match was caught.
    pub(crate) fn beyond_the_whole(self) -> Option<Self> {
        (self.groups.len() > 1).then_some(self)
    }

    /// The group with this name, or with this number written as text; 0 is the whole match.
    pub fn get(&self, key: &str) -> Option<&str> {
        let (_, text) = self.groups.iter().find(|(own, _)| own == key)?;
        Some(text)
    }

    /// The groups that took part: number or name, and text.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.groups.iter().map(|(key, text)| (&**key, &**text))
    }
}

impl IntoIterator for Captures {
    type Item = (String, String);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.groups.into_iter()
    }
}
