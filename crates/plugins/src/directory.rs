//! Who may call: consumers and their credentials, indexed for look-up.

mod changes;
mod hmac_auth;
mod index;
mod jwt;
mod oauth2;

use std::collections::HashMap;
use std::fmt;
use std::hash::RandomState;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use http::HeaderValue;
use keelgate_entities::kinds::{
    Acl, BasicAuthCredential, Consumer, HmacAuthCredential, JwtSecret, KeyAuthCredential,
    OAuth2Credential,
};
use rustc_hash::FxBuildHasher;
use uuid::Uuid;

pub use changes::Changes;
pub use hmac_auth::HmacAuth;
pub use index::Index;
pub use jwt::Jwt;
pub(crate) use jwt::Unproven;
pub use oauth2::Application;

/// Consumers and credentials of one snapshot: made of all of them, or of those before and what has
/// changed. Plugins hold it in an `Arc` and borrow from it.
#[derive(Debug, Default)]
pub struct Directory {
    /// Consumers by id.
    pub consumers: Index<Uuid, Consumer, FxBuildHasher>,
    /// Ids by `username`.
    pub by_username: Index<String, Uuid, RandomState>,
    /// What upstreams are told about each consumer, by its id.
    identities: Index<Uuid, Identity, FxBuildHasher>,
    /// API keys by the SHA-256 of their secret.
    ///
    /// Looking a digest up, instead of the secret, keeps the time of a look-up free of information
    /// about stored secrets: bytes are only ever compared between digests, and a client cannot
    /// choose the digest of what it sends. It also lets the hasher be a cheap one.
    keys: Index<[u8; 32], KeyAuth, FxBuildHasher>,
    /// Names and password digests by name. A keyed hasher, since clients choose what is looked up.
    passwords: Index<String, BasicAuth, RandomState>,
    /// Keys of tokens by what tokens name them by. A keyed hasher, as above.
    tokens: Index<String, Jwt, RandomState>,
    /// Secrets of signed requests by name. A keyed hasher, as above.
    signers: Index<String, HmacAuth, RandomState>,
    /// Applications by the id of their credential.
    applications: Index<Uuid, Application, FxBuildHasher>,
    /// Ids of applications by what they call themselves. A keyed hasher, as above.
    client_ids: Index<String, Uuid, RandomState>,
    /// Groups by consumer.
    groups: GroupIndex,
}

type GroupIndex = Index<Uuid, Groups, FxBuildHasher>;

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
    /// `X-Credential-Identifier`.
    pub header: HeaderValue,
}

/// A name with a password.
#[derive(Clone)]
pub struct BasicAuth {
    /// Identity of the credential.
    pub id: Uuid,
    /// Its owner.
    pub consumer: Uuid,
    /// The name.
    pub username: String,
    /// `X-Credential-Identifier`; none for a name that cannot stand in a header.
    pub header: Option<HeaderValue>,
    /// SHA-1 of the password followed by the owner's id, in hexadecimal digits.
    digest: String,
}

/// Leaves the digest out.
impl fmt::Debug for BasicAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BasicAuth")
            .field("id", &self.id)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// The groups of a consumer.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    names: Vec<String>,
}

impl Groups {
    /// Names of the groups.
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

impl Directory {
    /// Indexes consumers and credentials. A credential whose consumer is absent is left out.
    pub fn new(consumers: Vec<Consumer>, key_auth: Vec<KeyAuthCredential>) -> Self {
        let by_username = consumers
            .iter()
            .filter_map(|c| Some((c.username.clone()?, c.id)))
            .collect();
        let identities = consumers.iter().map(|c| (c.id, Identity::of(c))).collect();
        let consumers: Index<_, _, _> = consumers.into_iter().map(|c| (c.id, c)).collect();
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
            passwords: Index::default(),
            tokens: Index::default(),
            signers: Index::default(),
            applications: Index::default(),
            client_ids: Index::default(),
            groups: Index::default(),
        }
    }

    /// Adds names and passwords. A credential whose consumer is absent is left out.
    #[must_use]
    pub fn with_basic_auth(mut self, credentials: Vec<BasicAuthCredential>) -> Self {
        let known = credentials
            .into_iter()
            .filter(|credential| self.consumers.contains_key(&credential.consumer.0));
        self.passwords = known
            .map(|credential| (credential.username.clone(), BasicAuth::of(credential)))
            .collect();
        self
    }

    /// Adds the keys of tokens. A credential whose consumer is absent is left out.
    #[must_use]
    pub fn with_jwt(mut self, credentials: Vec<JwtSecret>) -> Self {
        let known = credentials
            .into_iter()
            .filter(|credential| self.consumers.contains_key(&credential.consumer.0));
        self.tokens = known
            .filter_map(Jwt::of)
            .map(|credential| (credential.key.clone(), credential))
            .collect();
        self
    }

    /// Adds the secrets of signed requests. A credential whose consumer is absent is left out.
    #[must_use]
    pub fn with_hmac_auth(mut self, credentials: Vec<HmacAuthCredential>) -> Self {
        let known = credentials
            .into_iter()
            .filter(|credential| self.consumers.contains_key(&credential.consumer.0));
        self.signers = known
            .filter_map(HmacAuth::of)
            .map(|credential| (credential.username.clone(), credential))
            .collect();
        self
    }

    /// Adds applications. One whose consumer is absent is left out.
    #[must_use]
    pub fn with_oauth2(mut self, credentials: Vec<OAuth2Credential>) -> Self {
        let known: Vec<_> = credentials
            .into_iter()
            .filter(|credential| self.consumers.contains_key(&credential.consumer.0))
            .collect();
        let names = known
            .iter()
            .filter_map(|credential| Some((credential.client_id.clone()?, credential.id)));
        self.client_ids = names.collect();
        self.applications = known
            .into_iter()
            .map(|credential| (credential.id, Application::of(credential)))
            .collect();
        self
    }

    /// Adds the groups of consumers.
    #[must_use]
    pub fn with_groups(mut self, memberships: Vec<Acl>) -> Self {
        let mut groups: HashMap<Uuid, Groups, FxBuildHasher> = HashMap::default();
        for membership in memberships {
            let groups = groups.entry(membership.consumer.0).or_default();
            groups.names.push(membership.group);
        }
        self.groups = groups.into_iter().collect();
        self
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

    /// The owner of a name, if the password is right; takes the same time if it is not, or if the
    /// name is unknown.
    pub fn password(&self, username: &str, password: &[u8]) -> Option<(&BasicAuth, &Consumer)> {
        let known = self.passwords.get(username);
        let (salt, expected) = known.map_or((Uuid::nil(), ""), |known| {
            (known.consumer, known.digest.as_str())
        });
        let is_right =
            verify_slices_are_equal(salted_sha1(password, salt).as_bytes(), expected.as_bytes());
        let known = known.filter(|_| is_right.is_ok())?;
        Some((known, self.consumers.get(&known.consumer)?))
    }

    /// Whether the name has a password.
    pub fn has_password(&self, username: &str) -> bool {
        self.passwords.contains_key(username)
    }

    /// The key of a token by what the token names it by, and its owner.
    pub fn jwt(&self, key: &str) -> Option<(&Jwt, &Consumer)> {
        let jwt = self.tokens.get(key)?;
        Some((jwt, self.consumers.get(&jwt.consumer)?))
    }

    /// The secret that belongs to a name, and its owner.
    pub fn hmac_auth(&self, username: &str) -> Option<(&HmacAuth, &Consumer)> {
        let signer = self.signers.get(username)?;
        Some((signer, self.consumers.get(&signer.consumer)?))
    }

    /// An application by what it calls itself.
    pub fn client(&self, client_id: &str) -> Option<&Application> {
        self.applications.get(self.client_ids.get(client_id)?)
    }

    /// An application by the id of its credential, and its owner.
    pub fn application(&self, id: Uuid) -> Option<(&Application, &Consumer)> {
        let application = self.applications.get(&id)?;
        Some((application, self.consumers.get(&application.consumer)?))
    }

    /// The groups of a consumer, if it is in any.
    pub fn groups(&self, consumer: &Consumer) -> Option<&Groups> {
        self.groups.get(&consumer.id)
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
            header: id_header(credential.id),
        }
    }
}

impl BasicAuth {
    fn of(credential: BasicAuthCredential) -> Self {
        Self {
            id: credential.id,
            consumer: credential.consumer.0,
            header: HeaderValue::from_bytes(credential.username.as_bytes()).ok(),
            username: credential.username,
            digest: credential.password,
        }
    }
}

/// How passwords are stored: SHA-1 of the password followed by the owner's id.
pub(crate) fn salted_sha1(password: &[u8], owner: Uuid) -> String {
    let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    context.update(password);
    context.update(
        owner
            .hyphenated()
            .encode_lower(&mut Uuid::encode_buffer())
            .as_bytes(),
    );
    let mut text = String::with_capacity(40);
    for byte in context.finish().as_ref() {
        for digit in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(u32::from(digit), 16));
        }
    }
    text
}

fn id_header(id: Uuid) -> HeaderValue {
    HeaderValue::try_from(id.to_string()).expect("a UUID consists of hexadecimal digits and dashes")
}

fn sha256(secret: &[u8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, secret).as_ref());
    bytes
}
