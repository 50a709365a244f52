//! How header names were written.
//!
//! `HeaderMap` keeps names in lower case. Most peers write `Title-Case`, which is what names are
//! encoded as; only other spellings are recorded here, so that a message passes through with the
//! names that its sender wrote.

use std::ops::Range;

use bytes::Bytes;
use smallvec::SmallVec;

use super::name::Letters;

/// The spellings of one head that are not `Title-Case`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spelling {
    head: Bytes,
    odd: SmallVec<[Range<u32>; 4]>,
    /// Whether some name contains an underscore.
    pub(crate) underscores: bool,
}

impl Spelling {
    pub(super) fn new(head: Bytes) -> Self {
        Self {
            head,
            odd: SmallVec::new(),
            underscores: false,
        }
    }

    /// Records the name at `range` of the head if it is written in another way than expected.
    pub(super) fn note(&mut self, range: Range<usize>, letters: Letters) {
        self.underscores |= letters.have_underscore();
        if !letters.are_title_case()
            && let (Ok(start), Ok(end)) = (u32::try_from(range.start), u32::try_from(range.end))
        {
            self.odd.push(start..end);
        }
    }

    /// Appends a name, given in lower case, as its sender wrote it.
    pub(crate) fn write(&self, name: &str, out: &mut Vec<u8>) {
        for range in &self.odd {
            let written = &self.head[range.start as usize..range.end as usize];
            if written.eq_ignore_ascii_case(name.as_bytes()) {
                out.extend_from_slice(written);
                return;
            }
        }
        write_title_case(name, out);
    }
}

fn write_title_case(name: &str, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(name.as_bytes());
    let written = &mut out[start..];
    if let Some(first) = written.first_mut() {
        first.make_ascii_uppercase();
    }
    for dash in memchr::memchr_iter(b'-', name.as_bytes()) {
        if let Some(next) = written.get_mut(dash + 1) {
            next.make_ascii_uppercase();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(head: &'static str, name: &str) -> String {
        let mut spelling = Spelling::new(Bytes::from_static(head.as_bytes()));
        spelling.note(0..head.len(), Letters::of(head.as_bytes()));
        let mut out = Vec::new();
        spelling.write(name, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn odd_spellings_come_back_and_others_are_title_case() {
        assert_eq!(written("x-UPPER-lower", "x-upper-lower"), "x-UPPER-lower");
        assert_eq!(written("ETag", "etag"), "ETag");
        assert_eq!(written("Content-Type", "content-type"), "Content-Type");
        assert_eq!(written("ETag", "x-other-name"), "X-Other-Name");
    }

    #[test]
    fn underscores_are_told() {
        let mut spelling = Spelling::new(Bytes::from_static(b"X_Under"));
        spelling.note(0..7, Letters::of(b"X_Under"));
        assert!(spelling.underscores);
    }
}
