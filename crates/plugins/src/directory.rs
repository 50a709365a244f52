//! Who may call: consumers and their credentials, indexed for look-up.

use std::collections::HashMap;

use aws_lc_rs::digest::{SHA256, digest};
use http::HeaderValue;
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
    /// What upstreams are told about each consumer, by its id.
    identities: HashMap<Uuid, Identity, FxBuildHasher>,
    /// API keys by the SHA-256 of their secret.
    ///
    /// Looking a digest up, instead of the secret, keeps the time of a look-up free of information
    /// about stored secrets: bytes are only ever compared between digests, and a client cannot
    /// choose the digest of what it sends. It also lets the hasher be a cheap one.
    keys: HashMap<[u8; 32], KeyAuth, FxBuildHasher>,
}

/// The headers that tell an upstream who calls.
#[derive(Clone, Debug)]
pub struct Identity {
    /// `X-Consumer-ID`.
    pub id: HeaderValue,
    /// `X-Consumer-Username`.
    pub username: Option<HeaderValue>,
    /// `X-Consumer-Custom-ID`.
    pub custom_id: Option<HeaderValue>,
}

/// An API key, without its secret.
#[derive(Clone, Debug)]
pub struct KeyAuth {
    /// Identity of the credential.
    pub id: Uuid,
    /// Its owner.
    pub consumer: Uuid,
    /// The id as text.
    pub identifier: String,
    /// `X-Credential-Identifier`.
    pub header: HeaderValue,
}

impl Directory {
    /// Indexes consumers and credentials. A credential whose consumer is absent is left out.
    pub fn new(consumers: Vec<Consumer>, key_auth: Vec<KeyAuthCredential>) -> Self {
        let by_username = consumers
            .iter()
            .filter_map(|c| Some((c.username.clone()?, c.id)))
            .collect();
        let identities = consumers.iter().map(|c| (c.id, Identity::of(c))).collect();
        let consumers: HashMap<_, _, _> = consumers.into_iter().map(|c| (c.id, c)).collect();
        let keys = key_auth
            .into_iter()
            .filter(|credential| consumers.contains_key(&credential.consumer.0))
            .map(|credential| (sha256(credential.key.as_bytes()), KeyAuth::of(&credential)))
            .collect();
        Self {
            consumers,
            by_username,
            identities,
            keys,
        }
    }

    /// A consumer by id, or else by username (as `config.anonymous` names it).
    pub fn consumer(&self, id_or_username: &str) -> Option<&Consumer> {
        Uuid::parse_str(id_or_username)
            .ok()
            .and_then(|id| self.consumers.get(&id))
            .or_else(|| self.consumers.get(self.by_username.get(id_or_username)?))
    }

    /// The API key with this secret, and its owner.
    pub fn key(&self, secret: &[u8]) -> Option<(&KeyAuth, &Consumer)> {
        let key = self.keys.get(&sha256(secret))?;
        Some((key, self.consumers.get(&key.consumer)?))
    }

    /// What upstreams are told about a consumer of this directory.
    pub fn identity(&self, consumer: &Consumer) -> Option<&Identity> {
        self.identities.get(&consumer.id)
    }
}

impl Identity {
    /// Names that cannot stand in a header (control characters) are left out.
    fn of(consumer: &Consumer) -> Self {
        let header = |text: &Option<String>| {
            text.as_ref()
                .and_then(|text| HeaderValue::from_bytes(text.as_bytes()).ok())
        };
        Self {
            id: id_header(consumer.id),
            username: header(&consumer.username),
            custom_id: header(&consumer.custom_id),
        }
    }
}

impl KeyAuth {
    fn of(credential: &KeyAuthCredential) -> Self {
        Self {
            id: credential.id,
            consumer: credential.consumer.0,
            identifier: credential.id.to_string(),
            header: id_header(credential.id),
        }
    }
}

fn id_header(id: Uuid) -> HeaderValue {
    HeaderValue::try_from(id.to_string()).expect("a UUID consists of hexadecimal digits and dashes")
}

fn sha256(secret: &[u8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, secret).as_ref());
    bytes
}
