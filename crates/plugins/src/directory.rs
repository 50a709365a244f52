//! Who may call: consumers and their credentials, indexed for look-up.

use std::collections::HashMap;

use keelgate_entities::kinds::{Consumer, KeyAuthCredential};
use rustc_hash::FxBuildHasher;
use uuid::Uuid;

/// Consumers and credentials of one snapshot. Built once per snapshot; plugins hold it in an
/// `Arc` and borrow from it.
#[derive(Debug, Default)]
pub struct Directory {
    /// Consumers by id.
    pub consumers: HashMap<Uuid, Consumer, FxBuildHasher>,
    /// Ids by `username`.
    pub by_username: HashMap<String, Uuid>,
    /// API keys by their secret. A keyed hasher, since clients choose what is looked up.
    pub key_auth: HashMap<String, KeyAuthCredential>,
}

impl Directory {
    /// Indexes consumers and credentials. A credential whose consumer is absent is left out.
    pub fn new(consumers: Vec<Consumer>, key_auth: Vec<KeyAuthCredential>) -> Self {
        let by_username = consumers
            .iter()
            .filter_map(|c| Some((c.username.clone()?, c.id)))
            .collect();
        let consumers: HashMap<_, _, _> = consumers.into_iter().map(|c| (c.id, c)).collect();
        let key_auth = key_auth
            .into_iter()
            .filter(|credential| consumers.contains_key(&credential.consumer.0))
            .map(|credential| (credential.key.clone(), credential))
            .collect();
        Self {
            consumers,
            by_username,
            key_auth,
        }
    }

    /// A consumer by id, or else by username (as `config.anonymous` names it).
    pub fn consumer(&self, id_or_username: &str) -> Option<&Consumer> {
        Uuid::parse_str(id_or_username)
            .ok()
            .and_then(|id| self.consumers.get(&id))
            .or_else(|| self.consumers.get(self.by_username.get(id_or_username)?))
    }
}
