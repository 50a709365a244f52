//! The frames around messages: a byte of flags, the length in four bytes, the message.

use bytes::{Buf, Bytes, BytesMut};

/// Length of what stands before a message.
const HEAD: usize = 5;

/// Longest message that is put together from pieces, in bytes.
pub(crate) const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// The flag of a message that is compressed.
const COMPRESSED: u8 = 1;

/// The flag of trailers in the place of a message, in gRPC-Web.
pub(crate) const TRAILERS: u8 = 0x80;

/// Appends a frame. Messages are of this process' own making, far below the four gigabytes that a frame can
/// tell of.
pub(crate) fn write(flags: u8, message: &[u8], out: &mut Vec<u8>) {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    out.push(flags);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(message);
}

/// Why the messages of a body cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("a message is longer than {MAX_MESSAGE} bytes")]
    TooLong,
    #[error("a message is compressed")]
    Compressed,
}

/// Messages that come in pieces of any length.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    held: BytesMut,
}

impl Frames {
    /// Takes in a piece of the body.
    pub(crate) fn push(&mut self, piece: &[u8]) {
        self.held.extend_from_slice(piece);
    }

    /// The next message that is there whole.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        let Some((head, _)) = self.held.split_first_chunk::<HEAD>() else {
            return Ok(None);
        };
        let [flags, length @ ..] = *head;
        let length = u32::from_be_bytes(length) as usize;
        if length > MAX_MESSAGE {
            return Err(Fault::TooLong);
        }
        if flags & COMPRESSED != 0 {
            return Err(Fault::Compressed);
        }
        if self.held.len() < HEAD + length {
            return Ok(None);
        }
        self.held.advance(HEAD);
        Ok(Some(self.held.split_to(length).freeze()))
    }

    /// Whether nothing is left over.
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn messages_come_out_as_they_went_in_whatever_the_pieces(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6),
            length in 1usize..20,
        ) {
            let mut body = Vec::new();
            for message in &messages {
                write(0, message, &mut body);
            }
            let mut frames = Frames::default();
            let mut found = Vec::new();
            for piece in body.chunks(length) {
                frames.push(piece);
                while let Some(message) = frames.next().unwrap() {
                    found.push(message.to_vec());
                }
            }
            prop_assert_eq!(found, messages);
            prop_assert!(frames.is_empty());
        }

        #[test]
        fn no_bytes_are_too_odd(body: Vec<u8>) {
            let mut frames = Frames::default();
            frames.push(&body);
            let mut read = 0;
            while let Ok(Some(message)) = frames.next() {
                read += HEAD + message.len();
            }
            prop_assert!(read <= body.len());
        }
    }

    #[test]
    fn a_message_that_is_too_long_or_compressed_is_not_waited_for() {
        for (head, fault) in [
            ([0, 1, 0, 0, 1], Fault::TooLong),
            ([0, 0xff, 0xff, 0xff, 0xff], Fault::TooLong),
            ([1, 0, 0, 0, 9], Fault::Compressed),
        ] {
            let mut frames = Frames::default();
            frames.push(&head);
            assert_eq!(frames.next(), Err(fault));
        }
    }
}
