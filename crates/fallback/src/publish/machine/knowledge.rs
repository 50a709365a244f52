//! What a machine knows, without what only paces it: two machines with the same knowledge and
//! pace decide alike, which is what a model checker needs to tell a new state from a known one.

use std::hash::Hash;
use std::time::Duration;

use super::{Machine, Mind, Pace};
use crate::Fencing;
use crate::publish::edition::Edition;
use crate::publish::picture::{Content, Known, Picture};

/// One small number per part, in a fixed order.
pub(crate) type Knowledge = [u8; 11];

fn small(number: u64) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}

/// Revision and time, or what stands for "none".
fn parts(edition: Option<Edition>) -> [u8; 2] {
    edition.map_or([0, 0], |edition| {
        [small(edition.identity.revision), small(edition.created_at)]
    })
}

impl<V: Copy + Into<u8> + Hash> Machine<V> {
    /// Forgets how many checks there were: what is looked at once in so many of them would make of
    /// one state many, and changes nothing that a model looks at.
    pub(crate) fn forget_checks(&mut self) {
        self.pace.checks = 0;
        self.pace.copy_checks = 0;
    }

    /// The parts that decide, for models whose delays are all zero and whose revisions, times and
    /// versions are small. It names every field, so that a new one is not forgotten here.
    ///
    /// Left out is what decides nothing there: what is due is due at once, the index is a hint that
    /// nothing depends on, and only a storage that does not compare needs a fresh read.
    pub(crate) fn knowledge(&self) -> Knowledge {
        let Self {
            settings: _,
            mind:
                Mind {
                    wanted,
                    leading,
                    relieving,
                    picture:
                        Picture {
                            fencing,
                            config,
                            history,
                            fresh,
                        },
                    kept,
                    owed,
                    prune,
                    index: _,
                },
            pace:
                Pace {
                    random: _,
                    backoff: _,
                    due: _,
                    window: _,
                    retry_at: _,
                    check_at,
                    config_at: _,
                    history_at: _,
                    checks: _,
                    copy_checks: _,
                    probed: _,
                    stake: _,
                    looked: _,
                },
        } = self;
        let (state, version, content) = match config {
            Known::Nothing => (0, 0, [0, 0]),
            Known::Absent => (1, 0, [0, 0]),
            Known::Present { version, content } => {
                let (kind, claimed) = match content {
                    Content::Good { edition, fit } => {
                        (2 + 8 * u8::from(*fit), parts(Some(*edition)))
                    }
                    Content::Unverified(identity) => (3, [small(identity.revision), 0]),
                    Content::Unreadable => (4, [0, 0]),
                    Content::TooNew => (5, [0, 0]),
                    Content::Sealed => (6, [0, 0]),
                };
                (kind, (*version).into(), claimed)
            }
        };
        let history = match history {
            None => [u8::MAX, 0],
            Some(found) => parts(*found),
        };
        let (wanted, kept) = (parts(*wanted), parts(*kept));
        let is_unfenced = *fencing == Fencing::None;
        let flags = u8::from(*leading)
            | u8::from(*prune) << 1
            | u8::from(*check_at != Duration::MAX) << 2
            | u8::from(*fresh && is_unfenced) << 3
            | u8::from(is_unfenced) << 4
            | u8::from(*owed) << 5
            | u8::from(*relieving) << 6;
        [
            flags, wanted[0], wanted[1], state, version, content[0], content[1], history[0],
            history[1], kept[0], kept[1],
        ]
    }
}
