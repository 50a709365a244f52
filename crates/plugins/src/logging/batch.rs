//! Records that are sent together.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::page::Page;

/// Records on a page.
#[derive(Clone, Debug)]
struct Part {
    page: Arc<Page>,
    records: Range<usize>,
}

/// Records in their order, on the pages on which they were written; a clone costs little.
#[derive(Clone, Debug, Default)]
pub(crate) struct Batch {
    parts: VecDeque<Part>,
    records: usize,
    /// Bytes of the records themselves.
    bytes: usize,
    /// What stands behind each record.
    behind: Option<u8>,
}

impl Batch {
    /// No records; `behind` is what will stand behind each.
    pub(super) fn new(behind: Option<u8>) -> Self {
        Self {
            behind,
            ..Self::default()
        }
    }

    /// How many records there are.
    pub(crate) fn len(&self) -> usize {
        self.records
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// The records, one by one.
    pub(crate) fn records(&self) -> impl Iterator<Item = &[u8]> {
        self.parts.iter().flat_map(|part| {
            let records = part.records.clone();
            records.map(|at| part.page.record(at, self.behind))
        })
    }

    /// The records as they stand one after another, with what is behind each, in few pieces.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let parts = self.parts.iter();
        parts.map(|part| part.page.records(&part.records, self.behind))
    }

    /// Bytes of all pieces.
    pub(crate) fn size(&self) -> usize {
        self.bytes + self.records * usize::from(self.behind.is_some())
    }

    /// Bytes of the records themselves.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// All pieces in one.
    pub(crate) fn joined(&self) -> Vec<u8> {
        let mut all = Vec::with_capacity(self.size());
        self.pieces().for_each(|piece| all.extend_from_slice(piece));
        all
    }

    /// Records that stand with commas behind them as a list in JSON.
    pub(crate) fn list(&self) -> Vec<u8> {
        let mut list = Vec::with_capacity(self.size() + 2);
        list.push(b'[');
        self.pieces()
            .for_each(|piece| list.extend_from_slice(piece));
        // In place of the last comma, or of nothing.
        list.truncate(self.size().max(1));
        list.push(b']');
        list
    }

    /// Adds the records of a page behind the others.
    pub(super) fn add(&mut self, page: Page) {
        let part = Part {
            records: 0..page.len(),
            page: Arc::new(page),
        };
        self.push(part);
    }

    fn push(&mut self, part: Part) {
        self.records += part.records.len();
        self.bytes += self.bytes_of(&part);
        self.parts.push_back(part);
    }

    fn bytes_of(&self, part: &Part) -> usize {
        let behind = part.records.len() * usize::from(self.behind.is_some());
        part.page.records(&part.records, self.behind).len() - behind
    }

    /// Takes the oldest records away, so many at most.
    pub(super) fn take(&mut self, most: usize) -> Self {
        let mut taken = Self::new(self.behind);
        while taken.records < most
            && let Some(mut part) = self.parts.pop_front()
        {
            let room = most - taken.records;
            if part.records.len() > room {
                let end = part.records.start + room;
                let rest = Part {
                    page: Arc::clone(&part.page),
                    records: end..part.records.end,
                };
                part.records.end = end;
                self.parts.push_front(rest);
            }
            taken.push(part);
        }
        self.records -= taken.records;
        self.bytes -= taken.bytes;
        taken
    }

    /// The pages that nobody else has records on, to be written on again.
    pub(super) fn into_pages(self) -> impl Iterator<Item = Page> {
        let parts = self.parts.into_iter();
        parts.filter_map(|part| Arc::try_unwrap(part.page).ok()?.emptied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(records: &[&str], behind: Option<u8>) -> Page {
        let mut page = Page::default();
        for record in records {
            page.add(behind, usize::MAX, |out| {
                out.extend_from_slice(record.as_bytes())
            });
        }
        page
    }

    fn records(batch: &Batch) -> Vec<&str> {
        let records = batch.records();
        records
            .map(|record| str::from_utf8(record).unwrap())
            .collect()
    }

    #[test]
    fn records_are_taken_in_their_order_also_from_the_middle_of_a_page() {
        for behind in [None, Some(b',')] {
            let mut batch = Batch::new(behind);
            batch.add(page(&["a", "bb", "c"], behind));
            batch.add(page(&["d"], behind));
            let first = batch.take(2);
            assert_eq!((records(&first), first.bytes()), (vec!["a", "bb"], 3));
            assert_eq!((records(&batch), batch.bytes()), (vec!["c", "d"], 2));
            let rest = batch.take(9);
            assert_eq!(
                (records(&rest), batch.len(), batch.size()),
                (vec!["c", "d"], 0, 0)
            );
            let together = if behind.is_some() { "c,d," } else { "cd" };
            assert_eq!(rest.joined(), together.as_bytes());
            assert_eq!(rest.size(), together.len());
            // The first page is free once nothing of it waits.
            assert_eq!(rest.into_pages().count(), 1);
            assert_eq!(first.into_pages().count(), 1);
        }
    }

    #[test]
    fn what_is_nothing_or_too_long_is_not_kept() {
        let mut page = page(&["a"], Some(b'\n'));
        assert_eq!(
            page.add(Some(b'\n'), 1, |_| ()),
            super::super::page::Added::Nothing
        );
        let long = page.add(Some(b'\n'), 1, |out| out.extend_from_slice(b"xx"));
        assert_eq!(long, super::super::page::Added::TooLong);
        assert_eq!(page.records(&(0..1), Some(b'\n')), b"a\n");
        assert_eq!((page.len(), page.size()), (1, 2));
    }
}
