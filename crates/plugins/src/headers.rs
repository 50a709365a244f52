//! The headers of a request or a response.
//!
//! A message passes through with most of its headers unread, so they are kept as they came: the head
//! is one text, and a field is two ranges of it. Names and values in the form that the `http` crate
//! has for them are made for the fields that somebody asks for, once.
//!
//! Fields stand in the order in which they came and were added, with names as they were written.

mod field;
mod iter;
mod letters;

use std::fmt;
use std::ops::{Index, Range};

use http::{HeaderName, HeaderValue};

use field::{Field, Key, Part};
pub use iter::{GetAll, Iter, Values};

/// The headers of a request or a response; a name may occur several times.
#[derive(Clone, Default)]
pub struct HeaderMap {
    text: Vec<u8>,
    fields: Vec<Field>,
    /// A bit for each name that is, or was, there: most names that are asked for are not.
    there: u64,
    /// The same for names that may be there more than once.
    again: u64,
}

/// What names a header; letters may be of either case.
pub trait AsHeaderName {
    /// The name.
    fn as_name(&self) -> &str;
}

impl AsHeaderName for HeaderName {
    fn as_name(&self) -> &str {
        self.as_str()
    }
}

impl AsHeaderName for str {
    fn as_name(&self) -> &str {
        self
    }
}

impl AsHeaderName for String {
    fn as_name(&self) -> &str {
        self
    }
}

impl<N: AsHeaderName + ?Sized> AsHeaderName for &N {
    fn as_name(&self) -> &str {
        (**self).as_name()
    }
}

/// What becomes the name of a header.
pub trait IntoHeaderName {
    /// The name.
    fn into_name(self) -> HeaderName;
}

impl IntoHeaderName for HeaderName {
    fn into_name(self) -> HeaderName {
        self
    }
}

impl IntoHeaderName for &HeaderName {
    fn into_name(self) -> HeaderName {
        self.clone()
    }
}

impl IntoHeaderName for &'static str {
    /// # Panics
    ///
    /// When it is no name in lower case.
    fn into_name(self) -> HeaderName {
        HeaderName::from_static(self)
    }
}

impl HeaderMap {
    /// No headers.
    pub fn new() -> Self {
        Self::default()
    }

    /// No headers yet, with room for so many.
    pub fn with_capacity(fields: usize) -> Self {
        Self {
            fields: Vec::with_capacity(fields),
            ..Self::default()
        }
    }

    /// The headers of a head, which [`Self::push_read`] tells one after the other; with room for
    /// `added` more fields, and for so many `bytes` of those among them that are written here.
    pub fn of_head(head: &[u8], fields: usize, added: usize, bytes: usize) -> Self {
        let mut text = Vec::with_capacity(head.len() + bytes);
        text.extend_from_slice(head);
        Self {
            text,
            fields: Vec::with_capacity(fields + added),
            ..Self::default()
        }
    }

    /// Adds the field at these places of the head, which a parser has found to be a name and a
    /// value. What is none after all is passed on as it came, and empty to whoever asks for it.
    ///
    /// # Panics
    ///
    /// When the places are not in the head, or the head is longer than 4 GiB.
    pub fn push_read(&mut self, name: Range<usize>, value: Range<usize>) {
        assert!(value.end <= self.text.len());
        let key = Key::of(&self.text[name.clone()]);
        self.add(Field::read(key, Part::of(name), Part::of(value)));
    }

    /// Makes a field that the gateway itself decides on the only one of its name; `write` appends
    /// the value. Neither name nor value may be anything but a name and a value.
    pub fn tell(&mut self, name: &'static str, write: impl FnOnce(&mut Vec<u8>)) {
        let there = self.find(name);
        // A new one is written as the line that it will be.
        let start = self.text.len();
        if there.is_none() {
            self.text.extend_from_slice(name.as_bytes());
            self.text.extend_from_slice(b": ");
        }
        let value = self.text.len();
        write(&mut self.text);
        let value = Part::of(value..self.text.len());
        debug_assert!(HeaderValue::from_bytes(value.of_text(&self.text)).is_ok());
        if let Some(at) = there {
            self.fields[at].say(value);
            self.drop_after(at);
            return;
        }
        self.text.extend_from_slice(b"\r\n");
        debug_assert!(HeaderName::from_bytes(name.as_bytes()).is_ok());
        let written = Part::of(start..start + name.len());
        self.add(Field::read(Key::of(name.as_bytes()), written, value));
    }

    /// Values, over all names.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Makes room for so many more.
    pub fn reserve(&mut self, more: usize) {
        self.fields.reserve(more);
    }

    /// Whether there is one of this name.
    #[inline]
    pub fn contains_key(&self, name: impl AsHeaderName) -> bool {
        self.find(name.as_name()).is_some()
    }

    /// The first value of this name.
    #[inline]
    pub fn get(&self, name: impl AsHeaderName) -> Option<&HeaderValue> {
        let at = self.find(name.as_name())?;
        Some(self.fields[at].value(&self.text))
    }

    /// The first value of this name as it stands there.
    #[inline]
    pub fn get_bytes(&self, name: &str) -> Option<&[u8]> {
        let at = self.find(name)?;
        Some(self.fields[at].value_bytes(&self.text))
    }

    /// All values of this name.
    #[inline]
    pub fn get_all(&self, name: impl AsHeaderName) -> GetAll<'_> {
        GetAll {
            map: self,
            first: self.find(name.as_name()),
        }
    }

    /// All names, in lower case, once for each value.
    pub fn keys(&self) -> impl Iterator<Item = &HeaderName> {
        self.fields.iter().map(|field| field.name(&self.text))
    }

    /// Names and values.
    pub fn iter(&self) -> Iter<'_> {
        Iter {
            text: &self.text,
            fields: self.fields.iter(),
        }
    }

    /// Each name once, as it was written first, with all its values.
    pub fn groups(&self) -> impl Iterator<Item = (WrittenName<'_>, GetAll<'_>)> {
        let first = |at: usize| {
            let field = &self.fields[at];
            let is_again = self.again & field.key().bit() != 0
                && self.fields[..at]
                    .iter()
                    .any(|other| other.is_like(field, &self.text));
            (!is_again).then(|| {
                let values = GetAll {
                    map: self,
                    first: Some(at),
                };
                (field.written_name(&self.text), values)
            })
        };
        (0..self.fields.len()).filter_map(first)
    }

    /// The fields as they go onto the wire of HTTP/1.
    pub fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        let text = &self.text;
        self.fields.iter().map(move |field| Line { text, field })
    }

    /// Makes this the only value of its name; the first of those that were there before.
    pub fn insert(&mut self, name: impl IntoHeaderName, value: HeaderValue) -> Option<HeaderValue> {
        let name = name.into_name();
        let Some(at) = self.find(name.as_str()) else {
            self.push(name, value);
            return None;
        };
        self.drop_after(at);
        Some(self.fields[at].replace(value, &self.text))
    }

    /// Adds a value; whether there were others of the name.
    pub fn append(&mut self, name: impl IntoHeaderName, value: HeaderValue) -> bool {
        let name = name.into_name();
        let there = self.find(name.as_str()).is_some();
        self.push(name, value);
        there
    }

    /// Adds all fields of another message after these, with names as they were written.
    pub fn append_all(&mut self, other: Self) {
        let moved = Part::of(0..self.text.len()).end();
        self.text.extend_from_slice(&other.text);
        self.again |= other.again | self.there & other.there;
        self.there |= other.there;
        let fields = other.fields.into_iter();
        self.fields.extend(fields.map(|field| field.moved(moved)));
    }

    /// Takes all values of a name away; the first of them.
    pub fn remove(&mut self, name: impl AsHeaderName) -> Option<HeaderValue> {
        let at = self.find(name.as_name())?;
        self.drop_after(at);
        Some(self.fields.remove(at).into_value(&self.text))
    }

    /// Takes all values of a name away.
    #[inline]
    pub fn discard(&mut self, name: impl AsHeaderName) {
        if let Some(at) = self.find(name.as_name()) {
            self.discard_from(at);
        }
    }

    fn discard_from(&mut self, at: usize) {
        self.drop_after(at);
        self.fields.remove(at);
    }

    fn push(&mut self, name: HeaderName, value: HeaderValue) {
        self.add(Field::made(name, value));
    }

    #[inline]
    fn add(&mut self, field: Field) {
        let bit = field.key().bit();
        self.again |= self.there & bit;
        self.there |= bit;
        self.fields.push(field);
    }

    #[inline]
    fn find(&self, name: &str) -> Option<usize> {
        let key = Key::of(name.as_bytes());
        if self.there & key.bit() == 0 {
            return None;
        }
        self.search(name, key)
    }

    fn search(&self, name: &str, key: Key) -> Option<usize> {
        let text = &self.text;
        self.fields
            .iter()
            .position(|field| field.is(name, key, text))
    }

    /// Takes away the values after the one `at` that have the same name.
    fn drop_after(&mut self, at: usize) {
        if self.next_like(at, at + 1).is_none() {
            return;
        }
        let text = &self.text;
        let name = self.fields[at].name(text).clone();
        let key = self.fields[at].key();
        let mut index = 0;
        self.fields.retain(|field| {
            index += 1;
            index <= at + 1 || !field.is(name.as_str(), key, text)
        });
    }

    /// The place of the next value from `from` on that has the same name as the one `at`.
    fn next_like(&self, at: usize, from: usize) -> Option<usize> {
        let like = &self.fields[at];
        if self.again & like.key().bit() == 0 {
            return None;
        }
        let rest = self.fields.get(from..)?;
        let found = rest
            .iter()
            .position(|field| field.is_like(like, &self.text))?;
        Some(from + found)
    }
}

/// A field as it goes onto the wire of HTTP/1.
#[derive(Clone, Copy)]
pub struct Line<'a> {
    text: &'a [u8],
    field: &'a Field,
}

impl<'a> Line<'a> {
    /// The name as its sender wrote it, or in lower case, marked so, where nobody wrote it.
    #[inline]
    pub fn name(&self) -> WrittenName<'a> {
        self.field.written_name(self.text)
    }

    /// The value.
    #[inline]
    pub fn value(&self) -> &'a [u8] {
        self.field.value_bytes(self.text)
    }

    /// The whole line with its line break, where it stands written out: in most cases.
    #[inline]
    pub fn whole(&self) -> Option<&'a [u8]> {
        self.field.written_line(self.text)
    }
}

/// A name as it goes onto the wire of HTTP/1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrittenName<'a> {
    /// As its sender wrote it.
    AsSent(&'a [u8]),
    /// In lower case.
    Lower(&'a str),
}

impl<'a> WrittenName<'a> {
    /// Its letters.
    #[inline]
    pub fn as_bytes(self) -> &'a [u8] {
        match self {
            Self::AsSent(name) => name,
            Self::Lower(name) => name.as_bytes(),
        }
    }

    /// Whether it is this name, which is in lower case.
    pub fn is(&self, name: &str) -> bool {
        match self {
            Self::AsSent(own) => own.eq_ignore_ascii_case(name.as_bytes()),
            Self::Lower(own) => *own == name,
        }
    }
}

impl fmt::Debug for HeaderMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

/// The same values under the same names; only the order of values of one name counts.
impl PartialEq for HeaderMap {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self
                .keys()
                .all(|name| self.get_all(name).iter().eq(other.get_all(name).iter()))
    }
}

impl Eq for HeaderMap {}

impl<N: AsHeaderName> Index<N> for HeaderMap {
    type Output = HeaderValue;

    /// # Panics
    ///
    /// When there is none of this name.
    fn index(&self, name: N) -> &HeaderValue {
        match self.get(&name) {
            Some(value) => value,
            None => panic!("there is no header {:?}", name.as_name()),
        }
    }
}

impl From<http::HeaderMap> for HeaderMap {
    fn from(map: http::HeaderMap) -> Self {
        let mut headers = Self::with_capacity(map.len() + 4);
        let mut last = None;
        for (name, value) in map {
            // Further values of a name come without it.
            if name.is_some() {
                last = name;
            }
            if let Some(name) = &last {
                headers.push(name.clone(), value);
            }
        }
        headers
    }
}

impl From<&HeaderMap> for http::HeaderMap {
    fn from(headers: &HeaderMap) -> Self {
        let mut map = Self::with_capacity(headers.len());
        for (name, value) in headers {
            map.append(name.clone(), value.clone());
        }
        map
    }
}

#[cfg(test)]
mod tests;
