//! Records one after another in one piece of memory.

use std::ops::Range;

/// Bytes that a page has room for, mostly.
pub(super) const USUAL: usize = 32 * 1024;

/// Records one after another, with what stands behind each of them.
#[derive(Debug, Default)]
pub(super) struct Page {
    bytes: Vec<u8>,
    /// Where each record ends.
    ends: Vec<usize>,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Added {
    /// It is on the page.
    Record,
    /// There was nothing to tell.
    Nothing,
    /// It was too long, and is gone.
    TooLong,
}

impl Page {
    /// Adds the record that `write` appends, of so many bytes at most, and puts `behind` after it.
    pub(super) fn add(
        &mut self,
        behind: Option<u8>,
        most: usize,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Added {
        let start = self.start(self.ends.len(), behind);
        // A record that was begun and given up is not kept.
        self.bytes.truncate(start);
        write(&mut self.bytes);
        let length = self.bytes.len().saturating_sub(start);
        if length == 0 || length > most {
            self.bytes.truncate(start);
            return match length {
                0 => Added::Nothing,
                _ => Added::TooLong,
            };
        }
        self.ends.push(start + length);
        self.bytes.extend(behind);
        Added::Record
    }

    /// Where a record begins.
    fn start(&self, record: usize, behind: Option<u8>) -> usize {
        match record.checked_sub(1) {
            None => 0,
            Some(before) => self.ends[before] + usize::from(behind.is_some()),
        }
    }

    /// How many records there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// How many bytes there are.
    pub(super) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it has memory.
    pub(super) fn is_blank(&self) -> bool {
        self.bytes.capacity() == 0
    }

    /// Makes room for what most pages hold.
    pub(super) fn reserve(&mut self) {
        self.bytes.reserve(USUAL + USUAL / 4);
    }

    /// Empties it for other records, if it is worth being kept.
    pub(super) fn emptied(mut self) -> Option<Self> {
        self.bytes.clear();
        self.ends.clear();
        (self.bytes.capacity() <= 2 * USUAL).then_some(self)
    }

    /// A record, without what stands behind it.
    pub(super) fn record(&self, at: usize, behind: Option<u8>) -> &[u8] {
        &self.bytes[self.start(at, behind)..self.ends[at]]
    }

    /// Records with what stands behind each.
    pub(super) fn records(&self, range: &Range<usize>, behind: Option<u8>) -> &[u8] {
        if range.is_empty() {
            return &[];
        }
        let start = self.start(range.start, behind);
        &self.bytes[start..self.start(range.end, behind)]
    }
}
