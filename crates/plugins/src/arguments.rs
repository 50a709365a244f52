//! Arguments of a query or of a URL-encoded form.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};

/// What stands unescaped in a written argument, besides letters and digits.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*');

/// The value of an argument: bytes, or none for one that stands without `=`.
pub(crate) type Value<'a> = Option<Cow<'a, [u8]>>;

/// Arguments in their order; a name may occur several times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arguments<'a>(Vec<(Cow<'a, [u8]>, Value<'a>)>);

impl<'a> Arguments<'a> {
    /// Reads `a=1&b&c=x+y`.
    pub(crate) fn parse(text: &'a [u8]) -> Self {
        Self(pieces(text).map(split).collect())
    }

    /// Values of the first argument with this name: `None` when there is no such argument.
    pub(crate) fn first(&self, name: &[u8]) -> Option<&Value<'a>> {
        let mut arguments = self.0.iter();
        let found = arguments.find(|(other, _)| other.as_ref() == name);
        found.map(|(_, value)| value)
    }

    /// All values of one name.
    pub(crate) fn values<'s>(&'s self, name: &'s [u8]) -> impl Iterator<Item = &'s Value<'a>> {
        self.0
            .iter()
            .filter(move |(other, _)| other.as_ref() == name)
            .map(|(_, value)| value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_ref(), value.as_deref()))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn contains(&self, name: &[u8]) -> bool {
        self.first(name).is_some()
    }

    /// Drops all arguments with this name.
    pub(crate) fn remove(&mut self, name: &[u8]) {
        self.0.retain(|(other, _)| other.as_ref() != name);
    }

    /// Adds an argument behind the last one with the same name, or else at the end.
    pub(crate) fn push(&mut self, name: impl Into<Cow<'a, [u8]>>, value: Value<'a>) {
        let name = name.into();
        let after = self.0.iter().rposition(|(other, _)| *other == name);
        match after {
            Some(at) => self.0.insert(at + 1, (name, value)),
            None => self.0.push((name, value)),
        }
    }

    /// Gives all values of one name to another name, whose own values go.
    pub(crate) fn rename(&mut self, from: &[u8], to: &'a [u8]) -> bool {
        if from == to || !self.contains(from) {
            return false;
        }
        self.remove(to);
        for (name, _) in &mut self.0 {
            if name.as_ref() == from {
                *name = Cow::Borrowed(to);
            }
        }
        true
    }

    /// Sets the one value of an argument that is there.
    pub(crate) fn replace(&mut self, name: &'a [u8], value: Option<Cow<'a, [u8]>>) -> bool {
        let Some(at) = self.0.iter().position(|(other, _)| other.as_ref() == name) else {
            return false;
        };
        self.remove(name);
        if value.is_some() {
            // Everything before the first occurrence kept its place.
            self.0.insert(at, (Cow::Borrowed(name), value));
        }
        true
    }

    /// Adds a value to those that an argument has; one that stood without `=` gets its first.
    pub(crate) fn append(&mut self, name: &'a [u8], value: Cow<'a, [u8]>) {
        if let Some(None) = self.first(name) {
            self.replace(name, Some(value));
        } else {
            self.push(name, Some(value));
        }
    }

    /// Writes them: `a=1&b&c=x%20y`.
    pub(crate) fn encode(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.0 {
            if !text.is_empty() {
                text.push('&');
            }
            text.extend(percent_encode(name, ESCAPED));
            if let Some(value) = value {
                text.push('=');
                text.extend(percent_encode(value, ESCAPED));
            }
        }
        text
    }
}

/// Looks one name up without reading the other arguments.
pub(crate) fn find<'a, 'n>(
    text: &'a [u8],
    name: &'n [u8],
) -> impl Iterator<Item = Value<'a>> + use<'a, 'n> {
    pieces(text).filter_map(move |piece| {
        let (found, value) = split(piece);
        (found.as_ref() == name).then_some(value)
    })
}

/// The text without the arguments of one name, the others as they were written. `None` when there
/// is no such argument.
pub(crate) fn without(text: &str, name: &[u8]) -> Option<String> {
    find(text.as_bytes(), name).next()?;
    let mut kept = String::with_capacity(text.len());
    for piece in text.split('&') {
        if piece.is_empty() || split(piece.as_bytes()).0.as_ref() == name {
            continue;
        }
        if !kept.is_empty() {
            kept.push('&');
        }
        kept.push_str(piece);
    }
    Some(kept)
}

fn pieces(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'&')
        .filter(|piece| !piece.is_empty())
}

fn split(piece: &[u8]) -> (Cow<'_, [u8]>, Value<'_>) {
    match memchr::memchr(b'=', piece) {
        None => (decode(piece), None),
        Some(at) => (decode(&piece[..at]), Some(decode(&piece[at + 1..]))),
    }
}

fn decode(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr2(b'%', b'+', text).is_none() {
        return Cow::Borrowed(text);
    }
    let spaced: Vec<u8> = text
        .iter()
        .map(|byte| if *byte == b'+' { b' ' } else { *byte })
        .collect();
    Cow::Owned(percent_decode(&spaced).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn changed<R>(text: &'static str, change: impl FnOnce(&mut Arguments<'_>) -> R) -> String {
        let mut arguments = Arguments::parse(text.as_bytes());
        change(&mut arguments);
        arguments.encode()
    }

    #[test]
    fn arguments_are_written_in_one_form() {
        let text = "a=%20b+c&d=%2F&e=\u{e9}&f&g=&h=1;2&i[]=1&i[]=2";
        let written = "a=%20b%20c&d=%2F&e=%C3%A9&f&g=&h=1%3B2&i%5B%5D=1&i%5B%5D=2";
        assert_eq!(changed(text, |_| ()), written);
    }

    #[test]
    fn a_rename_replaces_what_had_the_name() {
        assert_eq!(changed("z=9&a=1", |a| a.rename(b"a", b"z")), "z=1");
        assert_eq!(
            changed("a=1&b=2&a=4", |a| a.rename(b"a", b"z")),
            "z=1&b=2&z=4"
        );
        assert_eq!(changed("b=2", |a| a.rename(b"a", b"z")), "b=2");
    }

    #[test]
    fn a_replacement_leaves_one_value() {
        let new = || Some(Cow::Borrowed(b"new".as_slice()));
        assert_eq!(
            changed("a=1&b=2&a=4", |a| a.replace(b"a", new())),
            "a=new&b=2"
        );
        assert_eq!(changed("a", |a| a.replace(b"a", new())), "a=new");
        assert_eq!(changed("b", |a| a.replace(b"a", new())), "b");
    }

    #[test]
    fn an_appended_value_follows_those_of_its_name() {
        let new = || Cow::Borrowed(b"new".as_slice());
        assert_eq!(
            changed("a=1&b=2", |a| a.append(b"a", new())),
            "a=1&a=new&b=2"
        );
        assert_eq!(changed("a", |a| a.append(b"a", new())), "a=new");
        assert_eq!(changed("", |a| a.append(b"a", new())), "a=new");
    }

    #[test]
    fn an_argument_is_found_decoded_and_cut_out_as_written() {
        let found: Vec<_> = find(b"a=1&api%6Bey=a+b", b"apikey").collect();
        assert_eq!(found, [Some(Cow::Borrowed(b"a b".as_slice()))]);
        assert_eq!(
            without("b=%2f&apikey=ka&c=2", b"apikey").as_deref(),
            Some("b=%2f&c=2")
        );
        assert_eq!(without("b=1", b"apikey"), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_written_reads_as_the_same(text in "[a-c%&=+ ;\u{fc}0-9]{0,24}") {
            let arguments = Arguments::parse(text.as_bytes());
            let written = arguments.encode();
            prop_assert_eq!(Arguments::parse(written.as_bytes()), arguments);
        }
    }
}
