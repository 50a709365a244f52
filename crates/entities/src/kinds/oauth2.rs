//! Applications, tokens and authorization codes (the `oauth2` plugin).

use std::num::NonZeroU32;

use aws_lc_rs::{pbkdf2, rand};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::format::url;
use crate::schema::{Field, ITEM, Schema, Transformation, typedefs};
use crate::{Object, Reference};

/// The collection of tokens.
pub(super) const TOKENS: &str = "oauth2_tokens";

/// The collection of authorization codes.
pub(super) const AUTHORIZATION_CODES: &str = "oauth2_authorization_codes";

/// An application that acts for users.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct OAuth2Credential {
    /// Identity.
    pub id: Uuid,
    /// Owner.
    pub consumer: Reference,
    /// What people call it.
    pub name: String,
    /// What it calls itself.
    #[serde(default)]
    pub client_id: Option<String>,
    /// Its secret, or the digest of it where `hash_secret` is set.
    #[serde(default)]
    pub client_secret: Option<String>,
    /// Whether the secret is a digest, in the form of a PHC string.
    #[serde(default)]
    pub hash_secret: bool,
    /// Where users may be sent back to.
    #[serde(default)]
    pub redirect_uris: Option<Vec<String>>,
    /// Whether it can keep a secret.
    #[serde(default)]
    pub client_type: ClientType,
    /// Labels.
    #[serde(default)]
    pub tags: Option<Vec<String>>,
}

/// Whether an application can keep a secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientType {
    /// It runs where its users cannot look.
    #[default]
    Confidential,
    /// It runs on its users' devices.
    Public,
}

impl ClientType {
    /// The name in the Admin API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Confidential => "confidential",
            Self::Public => "public",
        }
    }
}

/// Leaves the secret out.
impl std::fmt::Debug for OAuth2Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OAuth2Credential")
            .field("id", &self.id)
            .field("consumer", &self.consumer)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

/// The schema of `oauth2_credentials`.
pub(crate) fn credentials() -> Schema {
    Schema::new(
        "oauth2_credentials",
        [
            typedefs::id(),
            typedefs::seconds("created_at"),
            super::owner(),
            Field::string("name").required(),
            Field::string("client_id").optional().auto(),
            Field::string("client_secret").optional().auto().encrypted(),
            Field::boolean("hash_secret").required().default(false),
            Field::array("redirect_uris", Field::string(ITEM).custom(redirect_uri)).optional(),
            typedefs::tags(),
            Field::string("client_type")
                .required()
                .default("confidential")
                .one_of(["confidential", "public"]),
        ],
    )
    .endpoint_key("client_id")
    .admin_names("oauth2", "oauth2")
    .cache_key(&["client_id"])
    .unique_key("client_id", &["client_id"])
    .transformation(Transformation {
        input: &["hash_secret"],
        needs: &["client_secret"],
        write: hash,
    })
}

/// The schema of `oauth2_tokens`.
pub(crate) fn tokens() -> Schema {
    Schema::new(
        TOKENS,
        [
            typedefs::id(),
            typedefs::seconds("created_at"),
            Field::foreign("service", "services")
                .default(serde_json::Value::Null)
                .cascade(),
            application(),
            Field::string("token_type")
                .required()
                .default("bearer")
                .one_of(["bearer"]),
            Field::integer("expires_in").required(),
            Field::string("access_token").optional().auto(),
            Field::string("refresh_token").optional(),
            Field::string("authenticated_userid").optional(),
            Field::string("scope"),
        ],
    )
    .endpoint_key("access_token")
    .cache_key(&["access_token"])
    .unique_key("access_token", &["access_token"])
    .unique_key("refresh_token", &["refresh_token"])
    .record()
}

/// The schema of `oauth2_authorization_codes`.
pub(crate) fn authorization_codes() -> Schema {
    let scope = |name, kind| {
        Field::foreign(name, kind)
            .default(serde_json::Value::Null)
            .cascade()
    };
    Schema::new(
        AUTHORIZATION_CODES,
        [
            typedefs::id(),
            typedefs::seconds("created_at"),
            scope("service", "services"),
            application(),
            Field::string("code").optional().auto(),
            Field::string("authenticated_userid").optional(),
            Field::string("scope"),
            Field::string("challenge").optional(),
            Field::string("challenge_method")
                .optional()
                .one_of(["S256"]),
            scope("plugin", "plugins"),
        ],
    )
    .unique_key("code", &["code"])
    .record()
}

fn application() -> Field {
    Field::foreign("credential", "oauth2_credentials")
        .required()
        .cascade()
}

fn redirect_uri(text: &str) -> Result<(), String> {
    let parts = url::parts(text);
    if parts.scheme.is_none() || parts.host.is_none() {
        return Err(format!("cannot parse '{text}'"));
    }
    if text.contains('#') {
        return Err(format!("fragment not allowed in '{text}'"));
    }
    Ok(())
}

const ITERATIONS: NonZeroU32 = NonZeroU32::new(10_000).expect("ten thousand is not zero");
const SALT: usize = 16;
const LENGTH: usize = 32;
const PREFIX: &str = "$pbkdf2-sha512$";

/// Replaces the secret by its digest, in the form of a PHC string that Kong's plugin reads.
fn hash(entity: &mut Object) {
    let is_wanted = entity.get("hash_secret") == Some(&true.into());
    let Some(secret) = super::text(entity, "client_secret").filter(|_| is_wanted) else {
        return;
    };
    if secret.starts_with(PREFIX) {
        return;
    }
    let (mut salt, mut digest) = ([0; SALT], [0; LENGTH]);
    // The system's random numbers do not fail once the process runs; a fixed salt would still be
    // better than a secret in clear.
    let _ = rand::fill(&mut salt);
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA512,
        ITERATIONS,
        &salt,
        secret.as_bytes(),
        &mut digest,
    );
    let (salt, digest) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(digest));
    let text = format!("{PREFIX}i={ITERATIONS},l={LENGTH}${salt}${digest}");
    entity.insert("client_secret".to_owned(), text.into());
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use serde_json::{Value, json};

    use super::*;

    fn insert(input: Value) -> Result<Object, crate::ApiError> {
        let schemas = crate::Schemas::new(Vec::new());
        let mut input = input.as_object().unwrap().clone();
        let consumer = json!({"id": "a0000001-0000-4000-8000-000000000001"});
        input.insert("consumer".to_owned(), consumer);
        schemas.insert("oauth2_credentials", input, SystemTime::now())
    }

    #[test]
    fn ids_and_secrets_are_made() {
        let made = insert(json!({"name": "app"})).unwrap();
        assert_eq!(made["client_type"], "confidential");
        for field in ["client_id", "client_secret"] {
            assert!(made[field].as_str().unwrap().len() >= 32, "{field}");
        }
    }

    #[test]
    fn a_secret_is_hashed_where_that_is_asked_for() {
        let sent = json!({"name": "app", "client_secret": "s", "hash_secret": true});
        let made = insert(sent).unwrap();
        let stored = made["client_secret"].as_str().unwrap();
        let parts: Vec<_> = stored.split('$').collect();
        assert_eq!(&parts[1..3], ["pbkdf2-sha512", "i=10000,l=32"]);
        let (salt, digest) = (
            STANDARD_NO_PAD.decode(parts[3]).unwrap(),
            STANDARD_NO_PAD.decode(parts[4]).unwrap(),
        );
        let algorithm = pbkdf2::PBKDF2_HMAC_SHA512;
        assert!(pbkdf2::verify(algorithm, ITERATIONS, &salt, b"s", &digest).is_ok());
        let plain = insert(json!({"name": "app", "client_secret": "s"})).unwrap();
        assert_eq!(plain["client_secret"], "s");
    }

    #[test]
    fn redirects_are_absolute_and_have_no_fragment() {
        for text in ["https://a.test", "app.x://h/p?q=1"] {
            assert_eq!(redirect_uri(text), Ok(()), "{text}");
        }
        for (text, message) in [
            ("a.test/x", "cannot parse 'a.test/x'"),
            ("https:///x", "cannot parse 'https:///x'"),
            ("https://a/#x", "fragment not allowed in 'https://a/#x'"),
        ] {
            assert_eq!(redirect_uri(text), Err(message.to_owned()));
        }
    }
}
