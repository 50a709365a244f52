//! Comparing names whose letters may be of either case.

/// Whether two names are the same but for the case of their letters, which only ASCII's have.
///
/// The standard library compares byte by byte, which for the dozen names that are found in each
/// request adds up.
#[inline]
pub(super) fn are_alike(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let (Some(last), Some(other_last)) = (one.last_chunk::<8>(), other.last_chunk::<8>()) else {
        return one.eq_ignore_ascii_case(other);
    };
    let (mut one, mut other) = (one, other);
    while let (Some((word, rest)), Some((other_word, other_rest))) =
        (one.split_first_chunk(), other.split_first_chunk())
    {
        if !words_are_alike(*word, *other_word) {
            return false;
        }
        (one, other) = (rest, other_rest);
    }
    // They may have been compared in part before.
    words_are_alike(*last, *other_last)
}

/// The same of eight bytes.
#[inline]
fn words_are_alike(one: [u8; 8], other: [u8; 8]) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const CASE: u64 = ONES * 0x20;
    let (one, other) = (u64::from_ne_bytes(one), u64::from_ne_bytes(other));
    let differs = one ^ other;
    // In most names the first letter alone is written in another way.
    if differs == 0 {
        return true;
    }
    let lower = one | CASE;
    let low = lower & (ONES * 0x7f);
    // The highest bit of a byte tells whether its lower ones are at least that much.
    let from_a = low + ONES * (0x80 - b'a' as u64);
    let beyond_z = low + ONES * (0x7f - b'z' as u64);
    let is_letter = (from_a ^ beyond_z) & !lower & (ONES * 0x80);
    differs & !(is_letter >> 2) == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_byte_is_compared_as_the_standard_library_does() {
        for at in 0..20 {
            for (one, other) in (0..=255).flat_map(|one| [(one, one ^ 0x20), (one, one), (one, 0)])
            {
                let (mut first, mut second) = ([b'x'; 20], [b'X'; 20]);
                (first[at], second[at]) = (one, other);
                for length in at + 1..=20 {
                    let (first, second) = (&first[..length], &second[..length]);
                    assert_eq!(
                        are_alike(first, second),
                        first.eq_ignore_ascii_case(second),
                        "{one} and {other} at {at} of {length}"
                    );
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn names_are_alike_whatever_the_case(name in "[!-~]{0,40}", other in "[!-~]{0,40}") {
            prop_assert!(are_alike(name.to_uppercase().as_bytes(), name.to_lowercase().as_bytes()));
            prop_assert_eq!(
                are_alike(name.as_bytes(), other.as_bytes()),
                name.eq_ignore_ascii_case(&other)
            );
        }
    }
}
