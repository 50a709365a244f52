//! The block of bytes that buckets and lists lie in, side by side.
//!
//! - A bucket: number of lengths, length of the host, its directory; pairs of a key length and the
//!   best rank among the keys of that length (in order of that rank); of a bucket of few keys the tags
//!   of its lists, and their distances; the host. These lists follow it.
//! - A list: length of the key, number of records, the key, the records in order of rank.
//!
//! Numbers are 32 bits, distances 16, all little-endian; tags are bytes, in whole sixteens. A bucket
//! begins where a cache line does when the block does, so that a search in a bucket of few keys reads
//! two or three lines that lie together, and nothing else. The lower bits of its offset, which are
//! free, count its lines: of a long block they are asked for together, since each wait for one costs
//! as much as all else that a search does.

use std::hint::black_box;

use keelgate_entities::kinds::PathHandling;

use super::filing::{Decision, Entry};
use super::tag;

/// The bytes. They are written by this module alone, so that what is read is well-formed.
#[derive(Default)]
pub(super) struct Block {
    bytes: Vec<u8>,
    /// Whether it is too long for the caches that are near.
    is_far: bool,
}

/// The rules of one host pattern.
pub(super) struct Bucket<'b> {
    pub(super) host: &'b [u8],
    lengths: &'b [u8],
    pub(super) directory: Directory<'b>,
}

/// Where the lists of a bucket are found.
pub(super) enum Directory<'b> {
    /// Beside the bucket.
    Near(Near<'b>),
    /// By the table with this number.
    Table(usize),
}

/// The lists that follow a bucket of few keys.
pub(super) struct Near<'b> {
    block: &'b Block,
    bucket: u32,
    tags: &'b [u8],
    distances: &'b [u8],
}

/// The rules of a bucket that have one key.
pub(super) struct List<'b> {
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
/// A length with its rank.
const LENGTH: usize = 8;
/// The distance of a list.
const DISTANCE: usize = 2;
const LIST_HEAD: usize = 8;
const BUCKET_HEAD: usize = 12;
const CACHE_LINE: usize = 64;

/// The length of a block that the caches of one core hold beside all else.
const HELD: usize = 512 * 1024;

/// Of a bucket's offset, those bits that count its lines; further lines are not asked for early.
const LINES: u32 = 7;

/// Set where the number beside it is that of a table; else it counts places.
const IN_TABLE: u32 = 1 << 31;

/// A bucket with at most so many keys has its lists beside it. Beyond, looking through all tags
/// takes longer than a table does.
const FEW: usize = 2 * tag::TOGETHER;

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
    /// Where the next list will lie.
    ///
    /// # Panics
    /// Beyond 4 GiB, which a thousand times the largest configuration does not fill.
    fn end(&self) -> u32 {
        u32::try_from(self.bytes.len()).expect("keys are a part of a configuration below 4 GiB")
    }

    /// Whether a bucket with these lists, told by the length of the key and the number of records,
    /// has them beside it.
    pub(super) fn lie_near(
        host: &[u8],
        lengths: &[(u32, u32)],
        lists: impl ExactSizeIterator<Item = (usize, usize)>,
    ) -> bool {
        let count = lists.len();
        let own = BUCKET_HEAD + lengths.len() * LENGTH + directory_length(count) + host.len();
        let all = lists.fold(own, |sum, (key, records)| {
            sum + LIST_HEAD + key + records * RECORD
        });
        count <= FEW && all <= usize::from(u16::MAX)
    }

    /// A bucket whose lists are found by a table.
    pub(super) fn add_bucket(&mut self, host: &[u8], lengths: &[(u32, u32)], table: u32) -> u32 {
        let bucket = self.begin_bucket(host, lengths, IN_TABLE | table, 0);
        self.with_lines(bucket)
    }

    /// The offset of the bucket written last, with the count of its lines.
    fn with_lines(&self, bucket: u32) -> u32 {
        let lines = (self.end() - bucket).div_ceil(CACHE_LINE as u32);
        bucket | lines.min(LINES)
    }

    /// Asks for the lines of a bucket, unless they are near.
    #[inline]
    pub(super) fn fetch(&self, bucket: u32) {
        if !self.is_far {
            return;
        }
        let start = (bucket & !LINES) as usize;
        for line in 1..(bucket & LINES) as usize {
            black_box(self.bytes[start + line * CACHE_LINE]);
        }
    }

    /// A bucket and the lists beside it, of which [`Block::lie_near`] holds: for each the hash of
    /// its key, the key and the records.
    pub(super) fn add_bucket_with_lists<'k, R>(
        &mut self,
        host: &[u8],
        lengths: &[(u32, u32)],
        lists: impl ExactSizeIterator<Item = (u64, &'k [u8], R)>,
    ) -> u32
    where
        R: ExactSizeIterator<Item = Record>,
    {
        let count = lists.len();
        let bucket = self.begin_bucket(host, lengths, count as u32, count);
        let tags = bucket as usize + BUCKET_HEAD + lengths.len() * LENGTH;
        let distances = tags + directory_length(count) - count * DISTANCE;
        for (at, (hash, key, records)) in lists.enumerate() {
            let distance = (self.add_list(key, records) - bucket) as u16;
            self.bytes[tags + at] = tag::of(hash);
            let place = distances + at * DISTANCE;
            self.bytes[place..place + DISTANCE].copy_from_slice(&distance.to_le_bytes());
        }
        self.with_lines(bucket)
    }

    fn begin_bucket(
        &mut self,
        host: &[u8],
        lengths: &[(u32, u32)],
        numbered: u32,
        near: usize,
    ) -> u32 {
        self.bytes
            .resize(self.bytes.len().next_multiple_of(CACHE_LINE), 0);
        let at = self.end();
        self.add_numbers(&[lengths.len() as u32, host.len() as u32, numbered]);
        for &(length, first) in lengths {
            self.add_numbers(&[length, first]);
        }
        self.bytes
            .resize(self.bytes.len() + directory_length(near), tag::FREE);
        self.bytes.extend_from_slice(host);
        at
    }

    pub(super) fn add_list(
        &mut self,
        key: &[u8],
        records: impl ExactSizeIterator<Item = Record>,
    ) -> u32 {
        let at = self.end();
        self.add_numbers(&[key.len() as u32, records.len() as u32]);
        self.bytes.extend_from_slice(key);
        for record in records {
            self.add_numbers(&[record.rank, record.route, record.bits]);
        }
        at
    }

    fn add_numbers(&mut self, numbers: &[u32]) {
        for number in numbers {
            self.bytes.extend_from_slice(&number.to_le_bytes());
        }
    }

    /// To be called when all is written.
    pub(super) fn finish(&mut self) {
        self.bytes.shrink_to_fit();
        self.is_far = self.bytes.len() > HELD;
    }
}

impl<'b> Bucket<'b> {
    #[inline]
    pub(super) fn read(block: &'b Block, bucket: u32) -> Self {
        let at = bucket & !LINES;
        let ([lengths, host, numbered], rest) = numbers(&block.bytes[at as usize..]);
        let (lengths, rest) = rest.split_at(lengths as usize * LENGTH);
        let (directory, rest) = if numbered & IN_TABLE != 0 {
            (Directory::Table((numbered & !IN_TABLE) as usize), rest)
        } else {
            let (own, rest) = rest.split_at(directory_length(numbered as usize));
            let (tags, distances) = own.split_at(own.len() - numbered as usize * DISTANCE);
            let near = Near {
                block,
                bucket: at,
                tags,
                distances,
            };
            (Directory::Near(near), rest)
        };
        Self {
            host: &rest[..host as usize],
            lengths,
            directory,
        }
    }

    /// Key lengths, and the best rank among the rules with such a key.
    pub(super) fn lengths(&self) -> impl Iterator<Item = (u32, u32)> + 'b {
        self.lengths.chunks_exact(LENGTH).map(|pair| {
            let ([length, first], _) = numbers(pair);
            (length, first)
        })
    }
}

impl<'b> Near<'b> {
    /// The list of a key with this hash.
    #[inline]
    pub(super) fn find(&self, hash: u64, key: &[u8]) -> Option<List<'b>> {
        let (tags, _) = self.tags.as_chunks::<{ tag::TOGETHER }>();
        let (distances, _) = self.distances.as_chunks::<DISTANCE>();
        for (part, tags) in tags.iter().enumerate() {
            for place in tag::places(*tags, tag::of(hash)) {
                let distance = distances.get(part * tag::TOGETHER + place)?;
                let distance = u16::from_le_bytes(*distance);
                let list = List::read(self.block, self.bucket + u32::from(distance));
                if list.key == key {
                    return Some(list);
                }
            }
        }
        None
    }
}

impl<'b> List<'b> {
    #[inline]
    pub(super) fn read(block: &'b Block, at: u32) -> Self {
        let ([key, count], rest) = numbers(&block.bytes[at as usize..]);
        let (key, rest) = rest.split_at(key as usize);
        Self {
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

/// The length of the tags and distances of so many lists.
fn directory_length(lists: usize) -> usize {
    lists.next_multiple_of(tag::TOGETHER) + lists * DISTANCE
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
    use super::{Block, Bucket, Decision, Directory, Entry, List, PathHandling, Record};
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
        let bucket = block.add_bucket(b"a.test", &[(5, 1), (2, 3)], 7);
        let list = block.add_list(b"/a", records.into_iter());
        let read = Bucket::read(&block, bucket);
        assert_eq!(read.host, b"a.test");
        assert_eq!(read.lengths().collect::<Vec<_>>(), [(5, 1), (2, 3)]);
        assert!(matches!(read.directory, Directory::Table(7)));
        let read = List::read(&block, list);
        assert_eq!(read.key, b"/a");
        assert_eq!(read.records().collect::<Vec<_>>(), records);
    }

    #[test]
    fn lists_beside_a_bucket_are_found_by_their_key_whatever_their_hash() {
        let mut block = Block::default();
        block.add_list(b"/before", std::iter::empty());
        let own = |route| std::iter::once(record(route, None, Decision::Path, PathHandling::V0));
        let lists: [(u64, &[u8], _); 3] = [
            (1, b"/a", own(1)),
            (1, b"/b", own(2)),
            (2 << 56, b"", own(3)),
        ];
        let bucket = block.add_bucket_with_lists(b"a.test", &[(2, 2), (0, 4)], lists.into_iter());
        let read = Bucket::read(&block, bucket);
        assert_eq!(read.host, b"a.test");
        assert_eq!(read.lengths().collect::<Vec<_>>(), [(2, 2), (0, 4)]);
        let Directory::Near(near) = read.directory else {
            panic!("the lists lie elsewhere");
        };
        let find = |hash, key: &[u8]| Some(near.find(hash, key)?.records().next()?.route);
        assert_eq!(find(1, b"/a"), Some(1));
        assert_eq!(find(1, b"/b"), Some(2));
        assert_eq!(find(2 << 56, b""), Some(3));
        assert_eq!(find(1, b"/c"), None);
        assert_eq!(find(3 << 56, b"/a"), None);
    }

    #[test]
    fn every_bucket_of_a_long_block_can_be_asked_for() {
        let mut block = Block::default();
        let hosts: Vec<String> = (0..4000).map(|number| "a".repeat(number % 700)).collect();
        let add = |host: &String| block.add_bucket(host.as_bytes(), &[(1, 1)], 0);
        let buckets: Vec<u32> = hosts.iter().map(add).collect();
        block.finish();
        assert!(block.is_far);
        for (bucket, host) in buckets.into_iter().zip(hosts) {
            block.fetch(bucket);
            assert_eq!(Bucket::read(&block, bucket).host, host.as_bytes());
        }
    }

    #[test]
    fn many_or_long_lists_do_not_lie_near() {
        let near =
            |lists: &[(usize, usize)]| Block::lie_near(b"a", &[(1, 1)], lists.iter().copied());
        assert!(near(&[(10, 1); 32]));
        assert!(!near(&[(10, 1); 33]));
        assert!(!near(&[(10, 6000)]));
        assert!(!near(&[(1 << 16, 1)]));
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
