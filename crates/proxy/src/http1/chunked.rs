//! The chunked transfer coding, decoded piece by piece.

use bytes::{Buf, BytesMut};
use http::HeaderMap;

use super::body::Piece;
use super::{Malformed, trailers};

/// Longest chunk extension and longest trailer block, in bytes.
const MAX_EXTENSION: usize = 4096;
const MAX_TRAILERS: usize = 16384;

/// Bytes of size lines that one body may have beside 16, and twice the data, of each chunk: who
/// sends more sends work, not a body.
const MAX_OVERHEAD: u64 = 16 * 1024;

/// A decoder of one chunked body.
#[derive(Debug)]
pub(crate) struct Chunked {
    state: State,
    /// Bytes of size lines so far that no data makes up for.
    overhead: u64,
    /// The fields after the body that may be passed on.
    trailers: Option<Box<HeaderMap>>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Size,
    Data(u64),
    /// The line break after the data of a chunk.
    AfterData,
    Trailers,
    Done,
}

impl Chunked {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Size,
            overhead: 0,
            trailers: None,
        }
    }

    /// The fields after the body, once its end was found.
    pub(crate) fn trailers(&mut self) -> Option<HeaderMap> {
        self.trailers.take().map(|trailers| *trailers)
    }

    /// Takes what can be decoded from the start of `input`.
    pub(crate) fn decode(&mut self, input: &mut BytesMut) -> Result<Piece, Malformed> {
        self.advance(input)?;
        match self.state {
            State::Data(left) if !input.is_empty() => {
                let take = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                let left = left - take as u64;
                self.state = if left == 0 {
                    State::AfterData
                } else {
                    State::Data(left)
                };
                Ok(Piece::Data(input.split_to(take).freeze()))
            }
            State::Done => Ok(Piece::End),
            _ => Ok(Piece::More),
        }
    }

    /// Whether no data follows, as far as `input` tells.
    pub(crate) fn has_ended(&mut self, input: &mut BytesMut) -> Result<bool, Malformed> {
        self.advance(input)?;
        Ok(matches!(self.state, State::Done))
    }

    /// Takes what stands between data from the start of `input`.
    fn advance(&mut self, input: &mut BytesMut) -> Result<(), Malformed> {
        loop {
            match self.state {
                State::Size => {
                    let Some((size, used)) = size_line(input)? else {
                        return Ok(());
                    };
                    input.advance(used);
                    let fair = size.saturating_mul(2).saturating_add(16);
                    self.overhead = (self.overhead + used as u64).saturating_sub(fair);
                    if self.overhead > MAX_OVERHEAD {
                        return Err(Malformed::Chunk);
                    }
                    self.state = match size {
                        0 => State::Trailers,
                        size => State::Data(size),
                    };
                }
                State::AfterData => {
                    let used = match &input[..] {
                        [b'\r', b'\n', ..] => 2,
                        [b'\n', ..] => 1,
                        [] | [b'\r'] => return Ok(()),
                        _ => return Err(Malformed::Chunk),
                    };
                    input.advance(used);
                    self.state = State::Size;
                }
                State::Trailers => {
                    let Some(length) = trailers_length(input)? else {
                        return Ok(());
                    };
                    self.trailers = trailers::parse(&input[..length])?.map(Box::new);
                    input.advance(length);
                    self.state = State::Done;
                }
                State::Data(_) | State::Done => return Ok(()),
            }
        }
    }
}

/// The size of the next chunk and the length of its line; none when the line is not there whole.
///
/// A bare line feed ends the line only when no extension stands before it: readers disagree about
/// line feeds inside extensions, and that disagreement is how requests are smuggled.
fn size_line(input: &[u8]) -> Result<Option<(u64, usize)>, Malformed> {
    let mut size: u64 = 0;
    let mut at = 0;
    while let Some(digit) = input.get(at).and_then(|byte| (*byte as char).to_digit(16)) {
        if size > u64::MAX >> 8 {
            return Err(Malformed::Chunk);
        }
        size = size << 4 | u64::from(digit);
        at += 1;
        if at > 32 {
            return Err(Malformed::Chunk);
        }
    }
    if at == 0 && !input.is_empty() {
        return Err(Malformed::Chunk);
    }
    match &input[at..] {
        [] | [b'\r'] => Ok(None),
        [b'\n', ..] => Ok(Some((size, at + 1))),
        [b'\r', b'\n', ..] => Ok(Some((size, at + 2))),
        rest @ [b';' | b' ' | b'\t', ..] => match memchr::memchr2(b'\r', b'\n', rest) {
            Some(end) if end > MAX_EXTENSION => Err(Malformed::Chunk),
            None if rest.len() > MAX_EXTENSION => Err(Malformed::Chunk),
            None => Ok(None),
            Some(end) => match rest.split_at(end) {
                (extension, _) if !is_extension(extension) => Err(Malformed::Chunk),
                (_, [b'\r', b'\n', ..]) => Ok(Some((size, at + end + 2))),
                (_, [b'\r']) => Ok(None),
                _ => Err(Malformed::Chunk),
            },
        },
        _ => Err(Malformed::Chunk),
    }
}

/// Whether what stands between a size and its line break is blank or begins with a semicolon, and
/// is text.
fn is_extension(bytes: &[u8]) -> bool {
    let blank = |byte: &&u8| matches!(byte, b' ' | b'\t');
    let first = bytes.iter().find(|byte| !blank(byte));
    first.is_none_or(|first| *first == b';')
        && bytes
            .iter()
            .all(|byte| *byte == b'\t' || !byte.is_ascii_control())
}

/// The length of the lines after the last chunk; none when they are not there whole.
fn trailers_length(input: &[u8]) -> Result<Option<usize>, Malformed> {
    let end = match input {
        [b'\r', b'\n', ..] => Some(2),
        [b'\n', ..] => Some(1),
        [b'\r', _, ..] => return Err(Malformed::Chunk),
        _ => memchr::memchr_iter(b'\n', input).find_map(|at| match &input[at + 1..] {
            [b'\r', b'\n', ..] => Some(at + 3),
            [b'\n', ..] => Some(at + 2),
            _ => None,
        }),
    };
    match end {
        Some(end) if end <= MAX_TRAILERS => Ok(Some(end)),
        None if input.len() <= MAX_TRAILERS => Ok(None),
        _ => Err(Malformed::Chunk),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Decodes what arrives in `parts`; the data, once the end was seen.
    fn decode(parts: &[&[u8]]) -> Result<Option<Vec<u8>>, Malformed> {
        let mut decoder = Chunked::new();
        let mut input = BytesMut::new();
        let mut data = Vec::new();
        for part in parts {
            input.extend_from_slice(part);
            loop {
                match decoder.decode(&mut input)? {
                    Piece::Data(piece) => data.extend_from_slice(&piece),
                    Piece::More => break,
                    Piece::End => return Ok(Some(data)),
                }
            }
        }
        Ok(None)
    }

    #[test]
    fn extensions_zeros_and_trailers_are_read() {
        let with_all = b"00005;a=b\r\nhello\r\n0\r\nX-T: 1\r\n\r\n";
        assert_eq!(decode(&[with_all]).unwrap().unwrap(), b"hello");
        assert_eq!(decode(&[b"5\nhello\n0\n\n"]).unwrap().unwrap(), b"hello");
    }

    #[test]
    fn a_size_may_be_padded() {
        let padded = b"5  \r\nhello\r\n5\t; a=\"b c\"\r\nthere\r\n0 \r\n\r\n";
        assert_eq!(decode(&[padded]).unwrap().unwrap(), b"hellothere");
    }

    #[test]
    fn extensions_are_in_proportion_to_the_data() {
        let small = format!("1;{}\r\nx\r\n", "e".repeat(1000));
        assert_eq!(decode(&[small.repeat(16).as_bytes()]), Ok(None));
        assert_eq!(
            decode(&[small.repeat(18).as_bytes()]),
            Err(Malformed::Chunk)
        );
        let data = "x".repeat(1000);
        let fair = format!("3e8;{}\r\n{data}\r\n", "e".repeat(1000)).repeat(1000);
        assert_eq!(decode(&[fair.as_bytes()]), Ok(None));
        let bare = "1\r\nx\r\n".repeat(100_000);
        assert_eq!(decode(&[bare.as_bytes()]), Ok(None));
    }

    #[test]
    fn the_end_is_seen_as_soon_as_it_is_there() {
        let mut decoder = Chunked::new();
        let mut input = BytesMut::from("5\r\nhello\r\n0\r\n");
        assert!(matches!(decoder.decode(&mut input), Ok(Piece::Data(_))));
        assert!(!decoder.has_ended(&mut input).unwrap());
        input.extend_from_slice(b"\r\nnext");
        assert!(decoder.has_ended(&mut input).unwrap());
        assert_eq!(&input[..], b"next");
        assert!(matches!(decoder.decode(&mut input), Ok(Piece::End)));
    }

    #[test]
    fn broken_chunks_are_refused() {
        for bad in [
            &b"zz\r\nhello\r\n0\r\n\r\n"[..],
            b"-1\r\n\r\n",
            b"5\r\nhelloXX\r\n0\r\n\r\n",
            b"ffffffffffffffffff\r\nx",
            b"5;x\nhello\r\n0\r\n\r\n",
            b"5;x\ry\r\nhello\r\n0\r\n\r\n",
            b"5;x\0\r\nhello\r\n0\r\n\r\n",
            b"5 x\r\nhello\r\n0\r\n\r\n",
            b"5 \t5\r\nhello\r\n0\r\n\r\n",
            b" 5\r\nhello\r\n0\r\n\r\n",
            b"0x5\r\nhello\r\n0\r\n\r\n",
            b"5_\r\nhello\r\n0\r\n\r\n",
            b"+5\r\nhello\r\n0\r\n\r\n",
            b"5\rhello\r\n0\r\n\r\n",
            b"0\r\nno field\r\n\r\n",
            b"0\r\n\r\r\n",
            b"\r\n",
        ] {
            assert_eq!(decode(&[bad]).unwrap_err(), Malformed::Chunk, "{bad:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn splitting_anywhere_changes_nothing(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..6),
            cuts in proptest::collection::vec(0.0..1.0f64, 0..5),
        ) {
            let mut wire = Vec::new();
            for piece in &pieces {
                wire.extend_from_slice(format!("{:x};e\r\n", piece.len()).as_bytes());
                wire.extend_from_slice(piece);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(b"0\r\nA: b\r\n\r\n");
            let mut at: Vec<usize> = cuts.iter().map(|cut| (wire.len() as f64 * cut) as usize).collect();
            at.sort_unstable();
            let mut parts = Vec::new();
            let mut from = 0;
            for end in at.into_iter().chain([wire.len()]) {
                parts.push(&wire[from..end]);
                from = end;
            }
            prop_assert_eq!(decode(&parts).unwrap().unwrap(), pieces.concat());
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = decode(&[&bytes]);
        }
    }
}
