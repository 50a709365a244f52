//! One field: a name and a value.

use std::ops::Range;
use std::sync::OnceLock;

use http::{HeaderName, HeaderValue};

use super::WrittenName;

/// A part of the text of a head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    start: u32,
    length: u32,
}

impl Part {
    /// # Panics
    ///
    /// When it ends beyond 4 GiB.
    pub(super) fn of(range: Range<usize>) -> Self {
        let end = u32::try_from(range.end).expect("heads are far shorter");
        let start = range.start as u32;
        Self {
            start,
            length: end - start,
        }
    }

    pub(super) fn of_text(self, text: &[u8]) -> &[u8] {
        let start = self.start as usize;
        text.get(start..start + self.length as usize)
            .unwrap_or_default()
    }
}

/// What tells most names apart at one look: their length, and their first and last letter in either
/// case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key(u32);

impl Key {
    #[inline]
    pub(super) fn of(name: &[u8]) -> Self {
        let letter = |letter: Option<&u8>| u32::from(letter.map_or(0, |letter| letter | 0x20));
        let length = name.len() as u32;
        Self(length << 16 | letter(name.first()) << 8 | letter(name.last()))
    }

    /// One of 64 bits, by which a name that is not there is known without looking at any that is.
    #[inline]
    pub(super) fn bit(self) -> u64 {
        1 << (((self.0 >> 16).wrapping_mul(5) + (self.0 >> 8 & 0xff)) % 64)
    }
}

/// A name or a value.
#[derive(Clone)]
enum Said<T> {
    /// In the text of the head; made, too, once somebody asked for it.
    Read(Part, OnceLock<T>),
    /// Made somewhere else.
    Made(T),
}

/// A name and a value.
#[derive(Clone)]
pub(super) struct Field {
    key: Key,
    name: Said<HeaderName>,
    value: Said<HeaderValue>,
}

impl Field {
    /// `key` is that of the name.
    pub(super) fn read(key: Key, name: Part, value: Part) -> Self {
        Self {
            key,
            name: Said::Read(name, OnceLock::new()),
            value: Said::Read(value, OnceLock::new()),
        }
    }

    pub(super) fn made(name: HeaderName, value: HeaderValue) -> Self {
        Self {
            key: Key::of(name.as_str().as_bytes()),
            name: Said::Made(name),
            value: Said::Made(value),
        }
    }

    pub(super) fn key(&self) -> Key {
        self.key
    }

    pub(super) fn name(&self, text: &[u8]) -> &HeaderName {
        match &self.name {
            Said::Made(name) => name,
            Said::Read(part, made) => made.get_or_init(|| {
                HeaderName::from_bytes(part.of_text(text))
                    .unwrap_or(HeaderName::from_static("x-invalid"))
            }),
        }
    }

    pub(super) fn value(&self, text: &[u8]) -> &HeaderValue {
        match &self.value {
            Said::Made(value) => value,
            Said::Read(part, made) => made.get_or_init(|| value_of(*part, text)),
        }
    }

    pub(super) fn value_bytes<'a>(&'a self, text: &'a [u8]) -> &'a [u8] {
        match &self.value {
            Said::Read(part, _) => part.of_text(text),
            Said::Made(value) => value.as_bytes(),
        }
    }

    pub(super) fn written_name<'a>(&'a self, text: &'a [u8]) -> WrittenName<'a> {
        match &self.name {
            Said::Read(part, _) => WrittenName::AsSent(part.of_text(text)),
            Said::Made(name) => WrittenName::Lower(name.as_str()),
        }
    }

    fn name_bytes<'a>(&'a self, text: &'a [u8]) -> &'a [u8] {
        match &self.name {
            Said::Read(part, _) => part.of_text(text),
            Said::Made(name) => name.as_str().as_bytes(),
        }
    }

    /// Whether it has this name, of which `key` is the key, in letters of either case.
    #[inline]
    pub(super) fn is(&self, name: &str, key: Key, text: &[u8]) -> bool {
        self.key == key && self.name_bytes(text).eq_ignore_ascii_case(name.as_bytes())
    }

    /// Whether it has the same name as another field of the same text.
    #[inline]
    pub(super) fn is_like(&self, other: &Self, text: &[u8]) -> bool {
        self.key == other.key
            && self
                .name_bytes(text)
                .eq_ignore_ascii_case(other.name_bytes(text))
    }

    /// Another value, which stands in the text.
    pub(super) fn say(&mut self, value: Part) {
        self.value = Said::Read(value, OnceLock::new());
    }

    /// Another value; the one before.
    pub(super) fn replace(&mut self, value: HeaderValue, text: &[u8]) -> HeaderValue {
        std::mem::replace(&mut self.value, Said::Made(value)).into_value(text)
    }

    pub(super) fn into_value(self, text: &[u8]) -> HeaderValue {
        self.value.into_value(text)
    }
}

impl Said<HeaderValue> {
    fn into_value(self, text: &[u8]) -> HeaderValue {
        match self {
            Self::Made(value) => value,
            Self::Read(part, made) => made.into_inner().unwrap_or_else(|| value_of(part, text)),
        }
    }
}

fn value_of(part: Part, text: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(part.of_text(text)).unwrap_or(HeaderValue::from_static(""))
}
