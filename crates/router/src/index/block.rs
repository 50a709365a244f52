//! The block of bytes that buckets and lists lie in, side by side.
//!
//! - A bucket: number of lengths, length of the host, pairs of a key length and the best rank among
//!   the keys of that length (in order of that rank), the host.
//! - A list: bucket, length of the key, number of records, the key, the records in order of rank.
//!
//! Numbers are 32 bits, little-endian.

use keelgate_entities::kinds::PathHandling;

use super::filing::{Decision, Entry};

/// The bytes. They are written by this module alone, so that what is read is well-formed.
#[derive(Default)]
pub(super) struct Block(Vec<u8>);

/// The rules of one host pattern.
pub(super) struct Bucket<'b> {
    pub(super) host: &'b [u8],
    lengths: &'b [u8],
}

/// The rules of a bucket that have one key.
pub(super) struct List<'b> {
    pub(super) bucket: u32,
    pub(super) key: &'b [u8],
    records: &'b [u8],
}

/// A rule in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Place in order of rank.
    pub(super) rank: u32,
    /// Index of the route.
    pub(super) route: u32,
    /// The port that the host pattern asks for, in the lower half if [`HAS_PORT`] is set; what
    /// decides, and how paths are joined.
    bits: u32,
}

const RECORD: usize = 12;
const HAS_PORT: u32 = 1 << 16;
const PATH_DECIDES: u32 = 1 << 17;
const HOST_DECIDES: u32 = 1 << 18;
const HANDLING_V1: u32 = 1 << 19;

impl Record {
    /// The rule of an entry under a host that asks for a port.
    pub(super) fn new(rank: u32, entry: &Entry<'_>, port: Option<u16>) -> Self {
        let port = port.map_or(0, |port| HAS_PORT | u32::from(port));
        let decision = match entry.decision {
            Decision::Rule => 0,
            Decision::Path => PATH_DECIDES,
            Decision::Host => HOST_DECIDES,
        };
        let handling = match entry.handling {
            PathHandling::V0 => 0,
            PathHandling::V1 => HANDLING_V1,
        };
        Self {
            rank,
            route: entry.route,
            bits: port | decision | handling,
        }
    }

    /// The port that the host pattern asks for.
    pub(super) fn port(self) -> Option<u16> {
        (self.bits & HAS_PORT != 0).then_some(self.bits as u16)
    }

    pub(super) fn handling(self) -> PathHandling {
        if self.bits & HANDLING_V1 != 0 {
            PathHandling::V1
        } else {
            PathHandling::V0
        }
    }

    pub(super) fn decision(self) -> Decision {
        if self.bits & PATH_DECIDES != 0 {
            Decision::Path
        } else if self.bits & HOST_DECIDES != 0 {
            Decision::Host
        } else {
            Decision::Rule
        }
    }
}

impl Block {
    /// Where the next bucket or list will lie.
    ///
    /// # Panics
    /// Beyond 4 GiB, which a thousand times the largest configuration does not fill.
    pub(super) fn end(&self) -> u32 {
        u32::try_from(self.0.len()).expect("keys are a part of a configuration below 4 GiB")
    }

    pub(super) fn add_bucket(&mut self, host: &[u8], lengths: &[(u32, u32)]) -> u32 {
        let at = self.end();
        self.add_numbers(&[lengths.len() as u32, host.len() as u32]);
        for &(length, first) in lengths {
            self.add_numbers(&[length, first]);
        }
        self.0.extend_from_slice(host);
        at
    }

    pub(super) fn add_list(
        &mut self,
        bucket: u32,
        key: &[u8],
        records: impl ExactSizeIterator<Item = Record>,
    ) -> u32 {
        let at = self.end();
        self.add_numbers(&[bucket, key.len() as u32, records.len() as u32]);
        self.0.extend_from_slice(key);
        for record in records {
            self.add_numbers(&[record.rank, record.route, record.bits]);
        }
        at
    }

    fn add_numbers(&mut self, numbers: &[u32]) {
        for number in numbers {
            self.0.extend_from_slice(&number.to_le_bytes());
        }
    }

    pub(super) fn shrink(&mut self) {
        self.0.shrink_to_fit();
    }
}

impl<'b> Bucket<'b> {
    #[inline]
    pub(super) fn read(block: &'b Block, at: u32) -> Self {
        let ([lengths, host], rest) = numbers(&block.0[at as usize..]);
        let (lengths, rest) = rest.split_at(lengths as usize * 8);
        Self {
            host: &rest[..host as usize],
            lengths,
        }
    }

    /// Key lengths, and the best rank among the rules with such a key.
    pub(super) fn lengths(&self) -> impl Iterator<Item = (u32, u32)> + 'b {
        self.lengths.chunks_exact(8).map(|pair| {
            let ([length, first], _) = numbers(pair);
            (length, first)
        })
    }
}

impl<'b> List<'b> {
    #[inline]
    pub(super) fn read(block: &'b Block, at: u32) -> Self {
        let ([bucket, key, count], rest) = numbers(&block.0[at as usize..]);
        let (key, rest) = rest.split_at(key as usize);
        Self {
            bucket,
            key,
            records: &rest[..count as usize * RECORD],
        }
    }

    /// The rules, in order of rank.
    pub(super) fn records(&self) -> impl Iterator<Item = Record> + 'b {
        self.records.chunks_exact(RECORD).map(|record| {
            let ([rank, route, bits], _) = numbers(record);
            Record { rank, route, bits }
        })
    }
}

/// The numbers at the start of `bytes`, and what follows them.
#[inline]
fn numbers<const N: usize>(bytes: &[u8]) -> ([u32; N], &[u8]) {
    let (numbers, rest) = bytes.split_at(4 * N);
    let (words, _) = numbers.as_chunks::<4>();
    (
        std::array::from_fn(|at| u32::from_le_bytes(words[at])),
        rest,
    )
}

#[cfg(test)]
mod tests {
    use super::{Block, Bucket, Decision, Entry, List, PathHandling, Record};
    use smallvec::smallvec;

    fn record(route: u32, port: Option<u16>, decision: Decision, handling: PathHandling) -> Record {
        let entry = Entry {
            route,
            hosts: smallvec![],
            paths: smallvec![],
            decision,
            handling,
        };
        Record::new(route + 1, &entry, port)
    }

    #[test]
    fn what_is_written_is_read() {
        let mut block = Block::default();
        let records = [
            record(9, Some(0), Decision::Path, PathHandling::V0),
            record(8, None, Decision::Rule, PathHandling::V1),
            record(7, Some(65535), Decision::Host, PathHandling::V0),
        ];
        let bucket = block.add_bucket(b"a.test", &[(5, 1), (2, 3)]);
        let list = block.add_list(bucket, b"/a", records.into_iter());
        let read = Bucket::read(&block, bucket);
        assert_eq!(read.host, b"a.test");
        assert_eq!(read.lengths().collect::<Vec<_>>(), [(5, 1), (2, 3)]);
        let read = List::read(&block, list);
        assert_eq!((read.bucket, read.key), (bucket, &b"/a"[..]));
        assert_eq!(read.records().collect::<Vec<_>>(), records);
    }

    #[test]
    fn a_record_keeps_port_decision_and_handling_apart() {
        for port in [None, Some(0), Some(65535)] {
            for decision in [Decision::Rule, Decision::Path, Decision::Host] {
                for handling in [PathHandling::V0, PathHandling::V1] {
                    let own = record(1, port, decision, handling);
                    let told = (own.port(), own.decision(), own.handling());
                    assert_eq!(told, (port, decision, handling));
                }
            }
        }
    }
}
