//! What a publisher knows of its storage, and what follows from it.

use keelgate_snapshot::Identity;

use super::Blocked;
use super::edition::Edition;
use crate::Fencing;

/// What a document was found to be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Content {
    /// Verified.
    Good {
        edition: Edition,
        /// Whether it is enveloped as this node would: sealed, and with the same key, if this node
        /// seals.
        fit: bool,
    },
    /// Whole, but its signature is missing or not trusted, or it is sealed with a key that is not
    /// known; the identity is a claim.
    Unverified(Identity),
    /// Sealed, and this node has no keys.
    Sealed,
    /// Damaged: truncated, altered, or no snapshot at all.
    Unreadable,
    /// Written by a build whose documents this one cannot read.
    TooNew,
}

/// The answer to a read of `config.json`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Read<V> {
    Absent,
    NotModified,
    Found { version: V, content: Content },
}

/// What a write of `config.json` compares with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Expected<V> {
    Absent,
    Version(V),
    /// Nothing: the storage does not compare.
    Anything,
}

/// What is known of `config.json`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Known<V> {
    Nothing,
    Absent,
    Present { version: V, content: Content },
}

/// What follows from comparing the storage with what is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Verdict<V> {
    /// `config.json` is to be read.
    Unknown,
    /// The storage holds it.
    Same,
    /// `config.json` holds it, and the history is to be asked whether it holds something newer.
    SameSoFar,
    Refuse(Blocked),
    /// `config.json` may be replaced, once the history was asked.
    ReplaceSoFar,
    Replace(Expected<V>),
    /// `config.json` is to hold this newer edition, which lies in the history.
    Restore(Edition, Expected<V>),
}

/// What `config.json` alone says.
enum Word {
    Same,
    Older,
    /// It says nothing about how far the cluster was.
    Silent,
    Refuse(Blocked),
}

/// The storage as a publisher knows it. `V` is the storage's version of an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Picture<V> {
    pub(super) fencing: Fencing,
    pub(super) config: Known<V>,
    /// The newest good history object that is not older than what is wanted, once asked for.
    pub(super) history: Option<Option<Edition>>,
    /// Whether nothing but requests lies between the last read of `config.json` and now. Where
    /// nothing compares, a write follows only such a read.
    pub(super) fresh: bool,
}

impl<V: Clone + PartialEq> Picture<V> {
    pub(super) fn new() -> Self {
        Self {
            fencing: Fencing::Compare,
            config: Known::Nothing,
            history: None,
            fresh: false,
        }
    }

    pub(super) fn fencing(&self) -> Fencing {
        self.fencing
    }

    pub(super) fn fence(&mut self, fencing: Fencing) {
        if self.fencing != fencing {
            self.fencing = fencing;
            self.forget();
        }
    }

    /// Anything may have happened.
    pub(super) fn forget(&mut self) {
        self.config = Known::Nothing;
        self.history = None;
        self.fresh = false;
    }

    /// The history was judged for another snapshot.
    pub(super) fn forget_history(&mut self) {
        self.history = None;
    }

    /// Time passes, or something else was written.
    pub(super) fn age(&mut self) {
        self.fresh = false;
    }

    pub(super) fn is_fresh(&self) -> bool {
        self.fresh || self.fencing == Fencing::Compare
    }

    pub(super) fn read(&mut self, answer: Read<V>) {
        self.fresh = true;
        self.config = match answer {
            Read::NotModified => {
                // Without comparison the history is as important as `config.json`.
                if self.fencing == Fencing::None {
                    self.history = None;
                }
                return;
            }
            Read::Absent => Known::Absent,
            Read::Found { version, content } => Known::Present { version, content },
        };
        self.history = None;
    }

    pub(super) fn history_read(&mut self, newest: Option<Edition>) {
        self.history = Some(newest);
    }

    /// The version that a conditional read names.
    pub(super) fn version(&self) -> Option<V> {
        match &self.config {
            Known::Present { version, .. } => Some(version.clone()),
            _ => None,
        }
    }

    pub(super) fn is_absent(&self) -> bool {
        matches!(self.config, Known::Absent)
    }

    /// What `config.json` is known to hold.
    pub(super) fn stored(&self) -> Option<Identity> {
        match &self.config {
            Known::Present {
                content: Content::Good { edition, .. },
                ..
            } => Some(edition.identity),
            _ => None,
        }
    }

    pub(super) fn judge(&self, wanted: &Edition) -> Verdict<V> {
        let (word, expected) = match &self.config {
            Known::Nothing => return Verdict::Unknown,
            Known::Absent => (Word::Silent, Expected::Absent),
            Known::Present { version, content } => {
                (content.word(wanted), Expected::Version(version.clone()))
            }
        };
        let expected = match self.fencing {
            Fencing::Compare => expected,
            Fencing::None => Expected::Anything,
        };
        match (word, self.fencing) {
            (Word::Refuse(blocked), _) => Verdict::Refuse(blocked),
            (Word::Same, Fencing::Compare) => Verdict::Same,
            (Word::Older, Fencing::Compare) => Verdict::Replace(expected),
            (Word::Same, Fencing::None) => {
                self.with_history(wanted, expected, Verdict::SameSoFar, |_| Verdict::Same)
            }
            (Word::Older, Fencing::None) | (Word::Silent, _) => {
                self.with_history(wanted, expected, Verdict::ReplaceSoFar, Verdict::Replace)
            }
        }
    }

    /// Decides where `config.json` does not: the history tells how far the cluster was.
    fn with_history(
        &self,
        wanted: &Edition,
        expected: Expected<V>,
        unasked: Verdict<V>,
        go_on: impl Fn(Expected<V>) -> Verdict<V>,
    ) -> Verdict<V> {
        let Some(newest) = self.history else {
            return unasked;
        };
        match newest {
            Some(found) if found.identity != wanted.identity => {
                match Blocked::by(&found.identity, &wanted.identity) {
                    Some(Blocked::Ahead(_)) => Verdict::Restore(found, expected),
                    Some(blocked) => Verdict::Refuse(blocked),
                    None => go_on(expected),
                }
            }
            _ => go_on(expected),
        }
    }
}

impl Content {
    fn word(&self, wanted: &Edition) -> Word {
        match self {
            Self::Good { edition, fit } if edition.identity == wanted.identity => {
                let renew = edition.created_at < wanted.created_at
                    || (!fit && edition.created_at == wanted.created_at);
                if renew { Word::Older } else { Word::Same }
            }
            Self::Good { edition, .. } => match Blocked::by(&edition.identity, &wanted.identity) {
                Some(blocked) => Word::Refuse(blocked),
                None => Word::Older,
            },
            // A claim is good enough to stay away from what may be newer, and the same snapshot
            // signed or sealed with a former key is renewed.
            Self::Unverified(found) if *found == wanted.identity => Word::Older,
            Self::Unverified(found) => match Blocked::by(found, &wanted.identity) {
                Some(Blocked::Foreign(found)) => Word::Refuse(Blocked::Foreign(found)),
                Some(_) => Word::Refuse(Blocked::Unverified(*found)),
                None => Word::Older,
            },
            Self::Sealed => Word::Refuse(Blocked::Sealed),
            Self::Unreadable => Word::Silent,
            Self::TooNew => Word::Refuse(Blocked::TooNew),
        }
    }
}
