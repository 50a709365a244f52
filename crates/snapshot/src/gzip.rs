//! Compression of documents for the wire.

use std::io::{self, Read as _, Write as _};

use bytes::Bytes;
use flate2::bufread::GzDecoder;
use flate2::{Compression, GzBuilder};

/// Deflate never compresses better than this.
const MAX_RATIO: usize = 1032;

/// The operating system in a gzip header: Unix.
const UNIX: u8 = 3;

/// Bytes that cannot be decompressed.
#[derive(Debug, thiserror::Error)]
pub enum GzipError {
    /// Not gzip, damaged, or cut off.
    #[error("not a whole gzip stream: {0}")]
    Damaged(#[source] io::Error),
    /// A bomb, or a configuration beyond all limits.
    #[error("decompresses to more than the limit of {limit} bytes")]
    TooLarge {
        /// The limit that the caller set.
        limit: usize,
    },
    /// Something follows the stream.
    #[error("{bytes} bytes follow the end of the gzip stream")]
    Trailing {
        /// How many.
        bytes: usize,
    },
}

/// From this size on, speed counts for more than the last tenth of compression: a large document
/// would otherwise keep every data plane waiting for seconds.
const LARGE: usize = 4 << 20;

/// Compresses a document.
pub fn compress(document: &[u8]) -> Bytes {
    let buffer = Vec::with_capacity(document.len() / 8 + 64);
    let level = match document.len() < LARGE {
        true => Compression::default(),
        false => Compression::fast(),
    };
    let mut encoder = GzBuilder::new().operating_system(UNIX).write(buffer, level);
    let compressed = encoder
        .write_all(document)
        .and_then(|()| encoder.finish())
        .expect("writing to a Vec does not fail");
    Bytes::from(compressed)
}

/// Decompresses at most `limit` bytes.
///
/// # Errors
///
/// When the input is not one whole gzip stream, or has more in it.
pub fn decompress(compressed: &[u8], limit: usize) -> Result<Bytes, GzipError> {
    let mut decoder = GzDecoder::new(compressed);
    let mut document = Vec::with_capacity(expected_length(compressed).min(limit));
    decoder
        .by_ref()
        .take(limit as u64 + 1)
        .read_to_end(&mut document)
        .map_err(GzipError::Damaged)?;
    if document.len() > limit {
        return Err(GzipError::TooLarge { limit });
    }
    match decoder.into_inner().len() {
        0 => Ok(Bytes::from(document)),
        bytes => Err(GzipError::Trailing { bytes }),
    }
}

/// The length that the trailer claims, as far as it can be true: saves copies while growing.
fn expected_length(compressed: &[u8]) -> usize {
    let claimed = compressed
        .last_chunk::<4>()
        .map_or(0, |trailer| u32::from_le_bytes(*trailer) as usize);
    claimed.min(compressed.len().saturating_mul(MAX_RATIO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_survives_the_wire() {
        let document = br#"{"type":"reconfigure"}"#.repeat(1000);
        let compressed = compress(&document);
        assert!(compressed.starts_with(b"\x1f\x8b\x08\0\0\0\0\0\0\x03"));
        assert_eq!(decompress(&compressed, document.len()).unwrap(), document);
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        // Just short of the size from which speed counts for more.
        let bomb = compress(&vec![0; LARGE - 1]);
        assert!(bomb.len() < 20_000);
        let error = decompress(&bomb, 1 << 20).unwrap_err();
        assert!(matches!(error, GzipError::TooLarge { limit } if limit == 1 << 20));
    }

    #[test]
    fn a_lying_trailer_reserves_no_memory() {
        let mut compressed = compress(b"small").to_vec();
        let end = compressed.len();
        compressed[end - 4..].fill(0xff);
        assert_eq!(expected_length(&compressed), end * MAX_RATIO);
        assert!(matches!(
            decompress(&compressed, 1000),
            Err(GzipError::Damaged(_))
        ));
    }

    #[test]
    fn a_cut_stream_is_damaged_wherever_it_is_cut() {
        let compressed = compress(b"some text, some text, some text");
        for end in 0..compressed.len() {
            let error = decompress(&compressed[..end], 1000).unwrap_err();
            assert!(matches!(error, GzipError::Damaged(_)), "{end}");
        }
    }

    #[test]
    fn bytes_after_the_stream_are_refused() {
        let mut compressed = compress(b"text").to_vec();
        compressed.push(0);
        assert!(matches!(
            decompress(&compressed, 1000),
            Err(GzipError::Trailing { bytes: 1 })
        ));
    }
}
