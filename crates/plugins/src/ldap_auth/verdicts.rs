//! What LDAP servers have said of names and passwords, kept for a while.

use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use moka::sync::Cache;

/// Verdicts that are kept at the same time: some 10 MB.
const CAPACITY: u64 = 65_536;

/// What a server was asked, as a digest: no password is kept.
pub(super) type Asked = [u8; 32];

/// The verdicts of all servers. When there is no room, those that were used least go.
#[derive(Debug)]
pub(crate) struct Verdicts(Cache<Asked, Verdict>);

#[derive(Clone, Copy, Debug)]
struct Verdict {
    is_right: bool,
    /// By the clock that requests bring, in time since 1970.
    at: Duration,
}

impl Verdicts {
    pub(crate) fn new() -> Self {
        Self(Cache::new(CAPACITY))
    }

    /// Whether name and password were right, if that was asked in the time before `now`.
    pub(super) fn get(&self, asked: &Asked, lifetime: Duration, now: Duration) -> Option<bool> {
        let verdict = self.0.get(asked)?;
        let age = now.checked_sub(verdict.at).unwrap_or_default();
        (age < lifetime).then_some(verdict.is_right)
    }

    pub(super) fn put(&self, asked: Asked, is_right: bool, now: Duration) {
        let at = now;
        self.0.insert(asked, Verdict { is_right, at });
    }
}

/// The digest of a question: which server, and what. Each part's length is part of it, so that no
/// two questions read the same.
pub(super) fn digest<'p>(parts: impl IntoIterator<Item = &'p [u8]>) -> Asked {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&part.len().to_be_bytes());
        context.update(part);
    }
    let mut asked = [0; 32];
    asked.copy_from_slice(context.finish().as_ref());
    asked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_counts_for_its_time() {
        let verdicts = Verdicts::new();
        let seconds = Duration::from_secs;
        let asked = digest([&b"alice"[..], b"pw"]);
        assert_eq!(verdicts.get(&asked, seconds(60), seconds(100)), None);
        verdicts.put(asked, true, seconds(100));
        assert_eq!(verdicts.get(&asked, seconds(60), seconds(159)), Some(true));
        assert_eq!(verdicts.get(&asked, seconds(60), seconds(160)), None);
        assert_eq!(verdicts.get(&asked, seconds(0), seconds(100)), None);
        verdicts.put(asked, false, seconds(161));
        assert_eq!(verdicts.get(&asked, seconds(60), seconds(162)), Some(false));
    }

    #[test]
    fn questions_are_told_apart() {
        let asked = digest([&b"ab"[..], b"c"]);
        assert_ne!(asked, digest([&b"a"[..], b"bc"]));
        assert_ne!(asked, digest([&b"abc"[..]]));
    }
}
