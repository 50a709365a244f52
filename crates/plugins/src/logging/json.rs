//! Texts and numbers in JSON, appended to bytes.
//!
//! Nearly all texts of a record stand in JSON as they are: that they do is seen many bytes at a time,
//! and they are copied in one piece.

use std::io::Write;
use std::net::IpAddr;

use serde::Serialize;
use uuid::Uuid;

/// Appends a text in quotation marks; what is no UTF-8 in it is replaced.
#[inline]
pub(crate) fn text(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    inside(out, text);
    out.push(b'"');
}

/// Appends texts as one.
pub(crate) fn texts(out: &mut Vec<u8>, parts: &[&str]) {
    out.push(b'"');
    for part in parts {
        inside(out, part.as_bytes());
    }
    out.push(b'"');
}

/// Appends a name in lower case, in quotation marks.
pub(crate) fn lower(out: &mut Vec<u8>, name: &[u8]) {
    let start = out.len();
    text(out, name);
    out[start..].make_ascii_lowercase();
}

/// Appends what stands between quotation marks.
#[inline]
fn inside(out: &mut Vec<u8>, text: &[u8]) {
    if is_plain(text) {
        out.extend_from_slice(text);
    } else {
        escape(out, text);
    }
}

#[cold]
fn escape(out: &mut Vec<u8>, text: &[u8]) {
    let start = out.len();
    value(out, &String::from_utf8_lossy(text));
    // Its quotation marks.
    out.pop();
    out.remove(start);
}

/// Appends a number.
#[inline]
pub(crate) fn number(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends an address in quotation marks.
pub(crate) fn address(out: &mut Vec<u8>, address: IpAddr) {
    out.push(b'"');
    bare_address(out, address);
    out.push(b'"');
}

/// Appends an address without quotation marks.
pub(crate) fn bare_address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            for (at, octet) in address.octets().into_iter().enumerate() {
                if at > 0 {
                    out.push(b'.');
                }
                three(out, octet);
            }
        }
        IpAddr::V6(address) => {
            write!(out, "{address}").expect("an address is written to memory");
        }
    }
}

/// Appends a number of three digits at most.
#[inline]
fn three(out: &mut Vec<u8>, number: u8) {
    if number >= 100 {
        out.push(b'0' + number / 100);
    }
    if number >= 10 {
        out.push(b'0' + number / 10 % 10);
    }
    out.push(b'0' + number % 10);
}

/// Appends an id in quotation marks.
pub(crate) fn id(out: &mut Vec<u8>, id: Uuid) {
    out.push(b'"');
    bare_id(out, id);
    out.push(b'"');
}

/// Appends an id without quotation marks.
pub(crate) fn bare_id(out: &mut Vec<u8>, id: Uuid) {
    let mut buffer = Uuid::encode_buffer();
    out.extend_from_slice(id.hyphenated().encode_lower(&mut buffer).as_bytes());
}

/// Appends a value of any shape.
pub(crate) fn value(out: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(out, value).expect("texts and numbers are written to memory");
}

/// Whether all bytes stand in JSON as they are: ASCII without control characters, quotation marks
/// and backslashes.
#[inline]
fn is_plain(text: &[u8]) -> bool {
    const PIECE: usize = 16;
    let (pieces, rest) = text.as_chunks::<PIECE>();
    if !pieces.iter().all(are_plain) {
        return false;
    }
    match text.last_chunk::<PIECE>() {
        // Some of them are looked at again, which is cheaper than each by itself.
        Some(last) => rest.is_empty() || are_plain(last),
        None => match (rest.first_chunk::<8>(), rest.last_chunk::<8>()) {
            (Some(first), Some(last)) => are_plain(first) && are_plain(last),
            _ => rest.iter().copied().all(stands),
        },
    }
}

/// Without a branch for each byte, so that they are compared at once.
#[inline]
fn are_plain<const N: usize>(piece: &[u8; N]) -> bool {
    !piece.iter().fold(false, |any, byte| any | !stands(*byte))
}

#[inline]
fn stands(byte: u8) -> bool {
    // As a signed number, whatever is not ASCII is less than a space, too.
    !((byte as i8) < 0x20 || byte == b'"' || byte == b'\\')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn addresses_and_ids_are_written_as_they_are_shown() {
        for text in [
            "192.0.2.7",
            "0.0.0.0",
            "255.255.255.255",
            "2001:db8::1",
            "::ffff:1.2.3.4",
        ] {
            let shown: IpAddr = text.parse().unwrap();
            assert_eq!(written(|out| address(out, shown)), format!("\"{shown}\""));
        }
        let one = Uuid::from_u128(0xa11ce);
        assert_eq!(written(|out| id(out, one)), format!("\"{one}\""));
    }

    #[test]
    fn every_byte_at_every_place_is_looked_at() {
        for length in 1..40 {
            for at in 0..length {
                for odd in [0, 0x1f, b'"', b'\\', 0x80, 0xff] {
                    let mut text = vec![b' '; length];
                    assert!(is_plain(&text));
                    text[at] = odd;
                    assert!(!is_plain(&text), "{odd} at {at} of {length}");
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn texts_are_those_of_serde(
            bytes in proptest::collection::vec(prop_oneof![b' '..b'~', any::<u8>()], 0..48),
        ) {
            let expected = serde_json::to_string(&String::from_utf8_lossy(&bytes)).unwrap();
            prop_assert_eq!(written(|out| text(out, &bytes)), expected);
        }

        #[test]
        fn texts_in_parts_are_one(one in "\\PC{0,20}", other in ".{0,20}") {
            let expected = serde_json::to_string(&format!("{one}{other}")).unwrap();
            prop_assert_eq!(written(|out| texts(out, &[&one, &other])), expected);
        }
    }
}
