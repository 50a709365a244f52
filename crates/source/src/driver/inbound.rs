//! What the control plane has sent and nobody has looked at, and what deltas lead on from.

use std::collections::VecDeque;

use bytes::Bytes;
use keelgate_snapshot::Snapshot;

/// Most deltas that wait.
const MOST: usize = 256;

/// Something that the control plane has sent.
#[derive(Debug)]
pub(super) enum Sent {
    Document(Bytes),
    Delta(Bytes),
}

/// What waits to be verified.
#[derive(Debug, Default)]
pub(super) struct Inbound {
    waiting: VecDeque<Sent>,
    /// The snapshot that was verified last; what the next delta leads on from.
    base: Option<Snapshot>,
    /// The whole was asked for and has not come: deltas lead on from what is not there.
    asked: bool,
}

impl Inbound {
    /// A document stands for everything that was sent before it.
    pub(super) fn document(&mut self, document: Bytes) {
        self.waiting.clear();
        self.waiting.push_back(Sent::Document(document));
        self.asked = false;
    }

    /// Takes a delta in, unless it is of no use. Tells whether the whole is to be asked for.
    pub(super) fn delta(&mut self, delta: Bytes) -> bool {
        if self.asked {
            return false;
        }
        if self.waiting.len() >= MOST {
            return self.lose();
        }
        self.waiting.push_back(Sent::Delta(delta));
        false
    }

    pub(super) fn next(&mut self) -> Option<Sent> {
        self.waiting.pop_front()
    }

    pub(super) fn base(&self) -> Option<&Snapshot> {
        self.base.as_ref()
    }

    /// From now on deltas lead on from this one.
    pub(super) fn verified(&mut self, snapshot: &Snapshot) {
        self.base = Some(snapshot.clone());
    }

    /// Nothing is known that deltas lead on from. Tells whether the whole is to be asked for: not where
    /// a document is on its way already.
    pub(super) fn lose(&mut self) -> bool {
        self.base = None;
        self.waiting
            .retain(|sent| matches!(sent, Sent::Document(_)));
        let is_first = self.waiting.is_empty() && !self.asked;
        self.asked |= is_first;
        is_first
    }

    /// A document was refused: nothing is known, and it is not asked for again.
    pub(super) fn refused(&mut self) {
        self.base = None;
        self.waiting
            .retain(|sent| matches!(sent, Sent::Document(_)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(inbound: &Inbound) -> Vec<bool> {
        let sent = inbound.waiting.iter();
        sent.map(|sent| matches!(sent, Sent::Document(_))).collect()
    }

    #[test]
    fn a_document_stands_for_everything_before_it() {
        let mut inbound = Inbound::default();
        inbound.document("a".into());
        assert!(!inbound.delta("b".into()) && !inbound.delta("c".into()));
        assert_eq!(waiting(&inbound), [true, false, false]);
        inbound.document("d".into());
        assert_eq!(waiting(&inbound), [true]);
    }

    #[test]
    fn the_whole_is_asked_for_once() {
        let mut inbound = Inbound::default();
        assert!(!inbound.delta("a".into()));
        assert!(inbound.lose());
        assert!(!inbound.lose() && !inbound.delta("b".into()));
        assert!(waiting(&inbound).is_empty());
        inbound.document("c".into());
        assert!(!inbound.lose(), "it is there");
        assert_eq!(waiting(&inbound), [true]);
        inbound.next();
        assert!(inbound.lose());
    }

    #[test]
    fn deltas_that_nobody_takes_do_not_pile_up() {
        let mut inbound = Inbound::default();
        for _ in 0..MOST {
            assert!(!inbound.delta("a".into()));
        }
        assert!(inbound.delta("a".into()));
        assert!(waiting(&inbound).is_empty());
    }
}
