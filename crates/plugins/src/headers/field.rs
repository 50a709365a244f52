//! One field: a name and a value.

use std::ops::Range;
use std::sync::OnceLock;

use http::{HeaderName, HeaderValue};

use super::{WrittenName, letters};

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

    pub(super) fn end(self) -> u32 {
        self.start + self.length
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

/// A name and a value.
///
/// Small, since a message has many, most of which nobody asks for.
#[derive(Clone)]
pub(super) struct Field {
    key: Key,
    /// In the text; none where it was made somewhere else.
    name: Option<Part>,
    value: Option<Part>,
    made: OnceLock<Box<Made>>,
}

/// A name and a value in the form of the `http` crate: from somewhere else, or made of the text once
/// somebody asked for them.
#[derive(Clone, Default)]
struct Made {
    name: OnceLock<HeaderName>,
    value: OnceLock<HeaderValue>,
}

impl Field {
    /// `key` is that of the name.
    pub(super) fn read(key: Key, name: Part, value: Part) -> Self {
        Self {
            key,
            name: Some(name),
            value: Some(value),
            made: OnceLock::new(),
        }
    }

    pub(super) fn made(name: HeaderName, value: HeaderValue) -> Self {
        Self {
            key: Key::of(name.as_str().as_bytes()),
            name: None,
            value: None,
            made: OnceLock::from(Box::new(Made {
                name: OnceLock::from(name),
                value: OnceLock::from(value),
            })),
        }
    }

    /// The field of the same text that now begins so many bytes later.
    pub(super) fn moved(mut self, by: u32) -> Self {
        for part in self.name.iter_mut().chain(&mut self.value) {
            part.start += by;
        }
        self
    }

    pub(super) fn key(&self) -> Key {
        self.key
    }

    pub(super) fn name(&self, text: &[u8]) -> &HeaderName {
        let made = &self.made.get_or_init(Box::default).name;
        made.get_or_init(|| {
            HeaderName::from_bytes(self.name_bytes(text))
                .unwrap_or(HeaderName::from_static("x-invalid"))
        })
    }

    pub(super) fn value(&self, text: &[u8]) -> &HeaderValue {
        let made = &self.made.get_or_init(Box::default).value;
        made.get_or_init(|| value_of(self.value_bytes(text)))
    }

    #[inline]
    pub(super) fn value_bytes<'a>(&'a self, text: &'a [u8]) -> &'a [u8] {
        match self.value {
            Some(part) => part.of_text(text),
            None => {
                let value = self.made.get().and_then(|made| made.value.get());
                value.map_or(&[], HeaderValue::as_bytes)
            }
        }
    }

    #[inline]
    pub(super) fn written_name<'a>(&'a self, text: &'a [u8]) -> WrittenName<'a> {
        match self.name {
            Some(part) => WrittenName::AsSent(part.of_text(text)),
            None => WrittenName::Lower(self.made_name()),
        }
    }

    /// The line with its break, where name and value stand in the text as on one.
    #[inline]
    pub(super) fn written_line<'a>(&self, text: &'a [u8]) -> Option<&'a [u8]> {
        let (name, value) = (self.name?, self.value?);
        if value.start != name.end() + 2 {
            return None;
        }
        let line = text.get(name.start as usize..value.end() as usize + 2)?;
        let stands = line[name.length as usize..].starts_with(b": ") && line.ends_with(b"\r\n");
        stands.then_some(line)
    }

    fn name_bytes<'a>(&'a self, text: &'a [u8]) -> &'a [u8] {
        match self.name {
            Some(part) => part.of_text(text),
            None => self.made_name().as_bytes(),
        }
    }

    /// The name that was made somewhere else.
    fn made_name(&self) -> &str {
        let name = self.made.get().and_then(|made| made.name.get());
        name.map_or("", HeaderName::as_str)
    }

    /// Whether it has this name, of which `key` is the key, in letters of either case.
    #[inline]
    pub(super) fn is(&self, name: &str, key: Key, text: &[u8]) -> bool {
        self.key == key && letters::are_alike(self.name_bytes(text), name.as_bytes())
    }

    /// Whether it has the same name as another field of the same text.
    #[inline]
    pub(super) fn is_like(&self, other: &Self, text: &[u8]) -> bool {
        self.key == other.key && letters::are_alike(self.name_bytes(text), other.name_bytes(text))
    }

    /// Another value, which stands in the text.
    pub(super) fn say(&mut self, value: Part) {
        self.value = Some(value);
        if let Some(made) = self.made.get_mut() {
            made.value = OnceLock::new();
        }
    }

    /// Another value; the one before.
    pub(super) fn replace(&mut self, value: HeaderValue, text: &[u8]) -> HeaderValue {
        let before = self.value(text).clone();
        self.value = None;
        if let Some(made) = self.made.get_mut() {
            made.value = OnceLock::from(value);
        }
        before
    }

    pub(super) fn into_value(self, text: &[u8]) -> HeaderValue {
        match self.value {
            Some(part) => value_of(part.of_text(text)),
            None => self.value(text).clone(),
        }
    }
}

fn value_of(bytes: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(bytes).unwrap_or(HeaderValue::from_static(""))
}
