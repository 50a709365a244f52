//! What the groups of a path's regular expression caught.

use regex::Regex;

/// The captures of a matched path.
#[derive(Debug)]
pub struct Captures<'p> {
    groups: regex::Captures<'p>,
    names: Vec<Option<Box<str>>>,
}

impl<'p> Captures<'p> {
    /// `None` when nothing but the whole match was caught.
    pub(crate) fn of(regex: &Regex, path: &'p str) -> Option<Self> {
        let groups = regex.captures(path)?;
        groups.iter().skip(1).any(|group| group.is_some()).then(|| {
            let names = regex.capture_names();
            Self {
                names: names.map(|name| name.map(Box::from)).collect(),
                groups,
            }
        })
    }

    /// The group with this number; 0 is the whole match.
    pub fn get(&self, number: usize) -> Option<&'p str> {
        self.groups.get(number).map(|group| group.as_str())
    }

    /// The group with this name.
    pub fn name(&self, name: &str) -> Option<&'p str> {
        let number = self
            .names
            .iter()
            .position(|own| own.as_deref() == Some(name));
        self.get(number?)
    }

    /// The group with this name, or with this number written as text.
    pub fn lookup(&self, key: &str) -> Option<&'p str> {
        self.name(key).or_else(|| self.get(key.parse().ok()?))
    }

    /// The groups that took part: number, name if any, text.
    pub fn iter(&self) -> impl Iterator<Item = (usize, Option<&str>, &'p str)> {
        self.names
            .iter()
            .enumerate()
            .filter_map(|(number, name)| Some((number, name.as_deref(), self.get(number)?)))
    }
}
