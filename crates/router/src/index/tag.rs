//! Tags: a byte of each hash, looked through sixteen at a time.
//!
//! Which of several entries a request asks for is nothing that a processor can guess: a loop that
//! ends at it is guessed wrong nearly every time, which costs as much as looking at all of them.

/// Tags that are looked through together.
pub(super) const TOGETHER: usize = 16;

/// The tag of nothing.
pub(super) const FREE: u8 = 0;

/// No tag, and not free either.
pub(super) const NO_ENTRY: u8 = 0xff;

/// The tag of a hash.
#[inline]
pub(super) fn of(hash: u64) -> u8 {
    ((hash >> 56) as u8).clamp(FREE + 1, NO_ENTRY - 1)
}

/// Places, the first one first.
pub(super) struct Places(u128);

/// Where a tag stands.
#[inline]
pub(super) fn places(tags: [u8; TOGETHER], tag: u8) -> Places {
    const LOW: u128 = u128::from_le_bytes([0x7f; TOGETHER]);
    let differs = u128::from_le_bytes(tags) ^ u128::from_le_bytes([tag; TOGETHER]);
    // The highest bit of a byte is left where none of its bits is set.
    Places(!(((differs & LOW) + LOW) | differs | LOW))
}

impl Iterator for Places {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let place = self.0.trailing_zeros() / 8;
        self.0 &= self.0 - 1;
        Some(place as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::{FREE, NO_ENTRY, TOGETHER, of, places};

    #[test]
    fn every_place_of_a_tag_is_told_and_no_other() {
        for own in 0..=255 {
            for other in 0..=255 {
                let mut tags = [other; TOGETHER];
                (tags[0], tags[7], tags[8], tags[15]) = (own, own, own, own);
                let found: Vec<usize> = places(tags, own).collect();
                let expected: Vec<usize> = (0..TOGETHER).filter(|at| tags[*at] == own).collect();
                assert_eq!(found, expected, "{own} among {other}");
            }
        }
    }

    #[test]
    fn no_hash_has_a_tag_that_means_something_else() {
        for top in 0..=255_u64 {
            assert!(![FREE, NO_ENTRY].contains(&of(top << 56)));
        }
    }
}
