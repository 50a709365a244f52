//! Messages of protobuf, appended to bytes field by field.

/// The wire types that are used here.
const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const DELIMITED: u32 = 2;
const FIXED32: u32 = 5;

fn key(out: &mut Vec<u8>, field: u32, kind: u32) {
    varint(out, (field << 3 | kind).into());
}

/// A number in as few bytes as it takes.
fn encoded(mut number: u64) -> ([u8; 10], usize) {
    let (mut bytes, mut length) = ([0; 10], 0);
    for byte in &mut bytes {
        length += 1;
        *byte = number as u8 | 0x80;
        number >>= 7;
        if number == 0 {
            *byte &= 0x7f;
            break;
        }
    }
    (bytes, length)
}

/// Bytes that a number takes.
pub(super) fn width(number: usize) -> usize {
    encoded(number as u64).1
}

fn varint(out: &mut Vec<u8>, number: u64) {
    if number < 0x80 {
        out.push(number as u8);
        return;
    }
    let (bytes, length) = encoded(number);
    out.extend_from_slice(&bytes[..length]);
}

/// Appends a number; also a negative one, as its two's complement.
pub(super) fn number(out: &mut Vec<u8>, field: u32, number: i64) {
    key(out, field, VARINT);
    varint(out, number as u64);
}

/// Appends a number of eight bytes.
pub(super) fn fixed64(out: &mut Vec<u8>, field: u32, number: u64) {
    key(out, field, FIXED64);
    out.extend_from_slice(&number.to_le_bytes());
}

/// Appends a number of four bytes.
pub(super) fn fixed32(out: &mut Vec<u8>, field: u32, number: u32) {
    key(out, field, FIXED32);
    out.extend_from_slice(&number.to_le_bytes());
}

/// Appends a text or bytes.
pub(super) fn bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    begin(out, field, bytes.len());
    out.extend_from_slice(bytes);
}

/// Appends what stands before so many bytes.
pub(super) fn begin(out: &mut Vec<u8>, field: u32, length: usize) {
    key(out, field, DELIMITED);
    varint(out, length as u64);
}

/// Appends a message, text or bytes that `write` appends.
pub(super) fn message(out: &mut Vec<u8>, field: u32, write: impl FnOnce(&mut Vec<u8>)) {
    key(out, field, DELIMITED);
    // The length of most takes one byte.
    let at = out.len();
    out.push(0);
    let start = out.len();
    write(out);
    let length = out.len() - start;
    if length < 0x80 {
        out[at] = length as u8;
        return;
    }
    // What was written moves on to make room.
    let (bytes, width) = encoded(length as u64);
    out.splice(at..start, bytes[..width].iter().copied());
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    #[derive(Clone, PartialEq, Message)]
    struct Read {
        #[prost(int64, tag = "1")]
        number: i64,
        #[prost(fixed64, tag = "2")]
        long: u64,
        #[prost(fixed32, tag = "3")]
        short: u32,
        #[prost(bytes = "vec", tag = "16")]
        bytes: Vec<u8>,
        #[prost(message, optional, boxed, tag = "17")]
        within: Option<Box<Read>>,
    }

    #[test]
    fn what_is_written_is_what_others_read() {
        for length in [0, 1, 127, 128, 16_383, 16_384, 70_000] {
            let mut out = Vec::new();
            number(&mut out, 1, -5);
            message(&mut out, 17, |out| {
                fixed64(out, 2, u64::MAX - 1);
                bytes(out, 16, &vec![7; length]);
            });
            fixed32(&mut out, 3, 9);
            let within = Read {
                long: u64::MAX - 1,
                bytes: vec![7; length],
                ..Read::default()
            };
            let expected = Read {
                number: -5,
                short: 9,
                within: Some(Box::new(within)),
                ..Read::default()
            };
            assert_eq!(Read::decode(out.as_slice()), Ok(expected));
        }
    }
}
