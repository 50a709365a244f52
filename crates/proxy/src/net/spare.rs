//! Room to write heads into.

use std::cell::Cell;

/// A buffer longer than this is given back to the system, in bytes.
const MOST: usize = 64 * 1024;

/// The buffer that a core writes heads into. Nearly all heads are sent as soon as they are written,
/// so one buffer serves them all; who finds it taken gets one of its own.
#[derive(Default)]
pub(crate) struct Spare(Cell<Vec<u8>>);

impl Spare {
    /// An empty buffer with room for so many bytes.
    pub(crate) fn take(&self, room: usize) -> Vec<u8> {
        let mut buffer = self.0.take();
        buffer.reserve(room);
        buffer
    }

    /// Keeps a buffer for the next head.
    pub(crate) fn give(&self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= MOST {
            buffer.clear();
            self.0.set(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_unless_it_is_large() {
        let spare = Spare::default();
        let mut buffer = spare.take(100);
        buffer.extend_from_slice(b"head");
        let place = buffer.as_ptr();
        spare.give(buffer);
        let buffer = spare.take(100);
        assert!(buffer.is_empty());
        assert_eq!(buffer.as_ptr(), place);
        let other = spare.take(1);
        assert_ne!(other.as_ptr(), place);
        spare.give(Vec::with_capacity(MOST + 1));
        assert!(spare.take(0).capacity() <= MOST);
    }
}
