//! SHA-256 with places from where it can go on.

use aws_lc_rs::digest::{Context, SHA256};

use super::Piece;
use crate::Digest;

/// Pieces between two places.
const STRIDE: usize = 16;

/// The digest of a text, and what it was on the way.
pub(super) struct Sums {
    /// Before each piece whose number is a multiple of [`STRIDE`].
    marks: Vec<Context>,
    pub(super) digest: Digest,
}

impl Sums {
    /// The sums of pieces. Those that stand at the beginning of `base` too are not read.
    pub(super) fn of(pieces: &[Piece<'_>], base: Option<(&[Piece<'_>], &Self)>) -> Self {
        let mut marks = match base {
            Some((known, sums)) => {
                let pairs = pieces.iter().zip(known);
                let common = pairs.take_while(|(one, other)| one == other).count();
                let marks = sums.marks.iter().take(common / STRIDE + 1);
                marks.cloned().collect()
            }
            None => Vec::new(),
        };
        let mut context = marks
            .last()
            .cloned()
            .unwrap_or_else(|| Context::new(&SHA256));
        let start = marks.len().saturating_sub(1) * STRIDE;
        for (number, piece) in pieces.iter().enumerate().skip(start) {
            if number % STRIDE == 0 && number / STRIDE == marks.len() {
                marks.push(context.clone());
            }
            context.update(piece.text().as_bytes());
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.finish().as_ref());
        Self {
            marks,
            digest: Digest(digest),
        }
    }
}
