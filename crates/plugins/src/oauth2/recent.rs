//! Tokens that have been seen lately, so that not every request asks the database.
//!
//! A token is remembered for a second at most, and until this node changes or removes one: what other
//! nodes remove is good for so long.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use moka::sync::Cache;
use rustc_hash::FxBuildHasher;

use super::stored::Token;

/// How long a token is remembered.
const LASTS: Duration = Duration::from_secs(1);

/// Tokens that are remembered at the same time: some 5 MB.
const MOST: u64 = 10_000;

/// A digest of a token: what is looked up tells nothing about what is there, and nobody can choose it.
pub(super) type Name = [u8; 32];

/// The tokens of a node.
pub(crate) struct Recent(Cache<Name, (u64, Arc<Token>), FxBuildHasher>);

impl Default for Recent {
    fn default() -> Self {
        let cache = Cache::builder().max_capacity(MOST).time_to_live(LASTS);
        Self(cache.build_with_hasher(FxBuildHasher))
    }
}

/// Leaves the tokens out.
impl fmt::Debug for Recent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Recent")
            .field(&self.0.entry_count())
            .finish()
    }
}

impl Recent {
    pub(super) fn name(token: &str) -> Name {
        let mut name = [0; 32];
        name.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        name
    }

    /// A token that was found in this generation of records.
    pub(super) fn find(&self, name: &Name, generation: u64) -> Option<Arc<Token>> {
        let (of, token) = self.0.get(name)?;
        (of == generation).then_some(token)
    }

    pub(super) fn remember(&self, name: Name, generation: u64, token: Arc<Token>) {
        self.0.insert(name, (generation, token));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_found_before_a_change_counts_no_more() {
        let token = json!({
            "id": uuid::Uuid::nil(), "created_at": 5, "expires_in": 0,
            "credential": {"id": uuid::Uuid::nil()},
        });
        let token = Arc::new(Token::read(token.as_object().unwrap().clone()).unwrap());
        let recent = Recent::default();
        recent.remember(Recent::name("t"), 3, token);
        assert!(recent.find(&Recent::name("t"), 4).is_none());
        assert!(recent.find(&Recent::name("other"), 3).is_none());
    }
}
