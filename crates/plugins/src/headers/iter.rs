//! Walking over headers.

use std::iter::FusedIterator;
use std::slice;

use http::{HeaderName, HeaderValue};

use super::{Field, HeaderMap};

/// Names and values.
pub struct Iter<'a> {
    pub(super) text: &'a [u8],
    pub(super) fields: slice::Iter<'a, Field>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a HeaderName, &'a HeaderValue);

    fn next(&mut self) -> Option<Self::Item> {
        let field = self.fields.next()?;
        Some((field.name(self.text), field.value(self.text)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.fields.size_hint()
    }
}

impl ExactSizeIterator for Iter<'_> {}
impl FusedIterator for Iter<'_> {}

impl<'a> IntoIterator for &'a HeaderMap {
    type Item = (&'a HeaderName, &'a HeaderValue);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// All values of one name.
#[derive(Clone, Copy)]
pub struct GetAll<'a> {
    pub(super) map: &'a HeaderMap,
    /// The place of the first one.
    pub(super) first: Option<usize>,
}

impl<'a> GetAll<'a> {
    /// The values, the first one first.
    pub fn iter(&self) -> Values<'a> {
        Values {
            map: self.map,
            first: self.first.unwrap_or(0),
            next: self.first,
        }
    }

    /// The only value as it stands there; none where there may be others.
    #[inline]
    pub fn only(&self) -> Option<&'a [u8]> {
        let field = &self.map.fields[self.first?];
        let may_be_others = self.map.again & field.key().bit() != 0;
        (!may_be_others).then(|| field.value_bytes(&self.map.text))
    }

    /// The values as they stand there.
    pub fn bytes(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let (map, mut values) = (self.map, self.iter());
        std::iter::from_fn(move || {
            let field = &map.fields[values.advance()?];
            Some(field.value_bytes(&map.text))
        })
    }
}

impl<'a> IntoIterator for GetAll<'a> {
    type Item = &'a HeaderValue;
    type IntoIter = Values<'a>;

    fn into_iter(self) -> Values<'a> {
        self.iter()
    }
}

/// Walks over the values of one name.
#[derive(Clone)]
pub struct Values<'a> {
    map: &'a HeaderMap,
    first: usize,
    next: Option<usize>,
}

impl Values<'_> {
    fn advance(&mut self) -> Option<usize> {
        let at = self.next?;
        self.next = self.map.next_like(self.first, at + 1);
        Some(at)
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = &'a HeaderValue;

    fn next(&mut self) -> Option<&'a HeaderValue> {
        let at = self.advance()?;
        Some(self.map.fields[at].value(&self.map.text))
    }
}
