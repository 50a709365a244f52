//! Keys that consumers sign tokens with.

use std::fmt;
use std::sync::OnceLock;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::ParsedPublicKey;
use http::HeaderValue;
use keelgate_entities::kinds::JwtSecret;
use uuid::Uuid;

use crate::jwt::algorithm::{Algorithm, Method};

/// A key that a consumer signs tokens with, for one algorithm.
pub struct Jwt {
    /// Identity of the credential.
    pub id: Uuid,
    /// Its owner.
    pub consumer: Uuid,
    /// What tokens name it by.
    pub key: String,
    /// `X-Credential-Identifier`; none for a name that cannot stand in a header.
    pub header: Option<HeaderValue>,
    pub(crate) algorithm: Algorithm,
    proof: Proof,
}

enum Proof {
    Secret(hmac::Algorithm, Option<String>),
    /// Read when it is first needed: reading a hundred thousand keys takes seconds.
    Public(Box<JwtSecret>, OnceLock<Option<ParsedPublicKey>>),
}

/// Why a signature is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unproven {
    /// The credential has no secret or key, or one that its algorithm cannot use.
    Unusable,
    /// The signature was made with another key, or over something else.
    Wrong,
}

/// Leaves the secret out.
impl fmt::Debug for Jwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwt")
            .field("id", &self.id)
            .field("key", &self.key)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

impl Jwt {
    /// `None` for a credential without a name, or with an algorithm that is not known here.
    pub(super) fn of(credential: JwtSecret) -> Option<Self> {
        let named = credential.algorithm.as_deref().unwrap_or("HS256");
        let Some(algorithm) = Algorithm::named(named) else {
            tracing::warn!(id = %credential.id, algorithm = named, "a JWT credential is left out, since its algorithm is unknown");
            return None;
        };
        let key = credential.key.clone()?;
        Some(Self {
            id: credential.id,
            consumer: credential.consumer.0,
            header: HeaderValue::from_bytes(key.as_bytes()).ok(),
            key,
            algorithm,
            proof: match algorithm.method() {
                Method::Mac(method) => Proof::Secret(method, credential.secret),
                Method::Signature(_) => Proof::Public(Box::new(credential), OnceLock::new()),
            },
        })
    }

    /// Verifies a signature with this key and its own algorithm, whatever the token says. `decode`
    /// turns the stored secret into the one that signs.
    pub(crate) fn verify(
        &self,
        signed: &[u8],
        signature: &[u8],
        decode: impl FnOnce(&str) -> Option<Vec<u8>>,
    ) -> Result<(), Unproven> {
        let valid = match &self.proof {
            Proof::Secret(method, secret) => {
                let secret = secret.as_deref().and_then(decode);
                let secret = hmac::Key::new(*method, &secret.ok_or(Unproven::Unusable)?);
                hmac::verify(&secret, signed, signature)
            }
            Proof::Public(credential, key) => {
                let key = key.get_or_init(|| self.public_key(credential));
                let key = key.as_ref().ok_or(Unproven::Unusable)?;
                key.verify_sig(signed, signature)
            }
        };
        valid.map_err(|_| Unproven::Wrong)
    }

    fn public_key(&self, credential: &JwtSecret) -> Option<ParsedPublicKey> {
        let Method::Signature(method) = self.algorithm.method() else {
            return None;
        };
        let key = ParsedPublicKey::new(method, credential.public_key()?);
        if key.is_err() {
            tracing::warn!(id = %self.id, algorithm = ?self.algorithm, "the public key of a JWT credential does not fit its algorithm");
        }
        key.ok()
    }
}
