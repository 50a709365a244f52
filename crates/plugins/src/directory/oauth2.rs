//! Applications that act for users.

use std::fmt;
use std::num::NonZeroU32;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::pbkdf2;
use http::HeaderValue;
use keelgate_entities::kinds::{ClientType, OAuth2Credential};
use uuid::Uuid;

use crate::base64;

/// An application that acts for users.
pub struct Application {
    /// Identity of the credential.
    pub id: Uuid,
    /// Its owner.
    pub consumer: Uuid,
    /// `X-Credential-Identifier`; none for a name that cannot stand in a header.
    pub header: Option<HeaderValue>,
    /// Where users may be sent back to; none where nothing was said about it.
    pub redirect_uris: Option<Vec<String>>,
    /// Whether it can keep a secret.
    pub client_type: ClientType,
    secret: Option<Secret>,
}

/// Leaves the secret out.
impl fmt::Debug for Application {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Application")
            .field("id", &self.id)
            .field("client_type", &self.client_type)
            .finish_non_exhaustive()
    }
}

/// What an application proves itself with.
#[derive(Clone)]
pub(crate) enum Secret {
    Plain(String),
    Digest(Digest),
    /// A digest that nothing equals, since nobody can read it.
    Unreadable,
}

impl Application {
    pub(super) fn of(credential: OAuth2Credential) -> Self {
        let name = credential.client_id.as_deref();
        let secret = match (credential.client_secret, credential.hash_secret) {
            (None, _) => None,
            (Some(secret), false) => Some(Secret::Plain(secret)),
            (Some(digest), true) => {
                Some(Digest::parse(&digest).map_or(Secret::Unreadable, Secret::Digest))
            }
        };
        Self {
            id: credential.id,
            consumer: credential.consumer.0,
            header: name.and_then(|name| HeaderValue::from_bytes(name.as_bytes()).ok()),
            redirect_uris: credential.redirect_uris,
            client_type: credential.client_type,
            secret,
        }
    }

    /// Whether this is the application's secret. Digests take milliseconds, on a thread of their own.
    pub(crate) async fn is_secret(&self, given: &str) -> bool {
        match &self.secret {
            Some(Secret::Plain(secret)) => {
                verify_slices_are_equal(secret.as_bytes(), given.as_bytes()).is_ok()
            }
            Some(Secret::Digest(digest)) => {
                let (digest, given) = (digest.clone(), given.to_owned());
                let verified = tokio::task::spawn_blocking(move || digest.is_of(&given));
                verified.await.unwrap_or(false)
            }
            Some(Secret::Unreadable) | None => false,
        }
    }
}

/// A PBKDF2 digest with SHA-512.
#[derive(Clone)]
pub(crate) struct Digest {
    iterations: NonZeroU32,
    salt: Vec<u8>,
    digest: Vec<u8>,
}

/// Most iterations of a digest: one takes a second.
const MOST_ITERATIONS: u32 = 1_000_000;

impl Digest {
    /// Reads `$pbkdf2-sha512$i=10000,l=32$SALT$DIGEST`, the form of PHC strings.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix("$pbkdf2-sha512$")?.split('$');
        let (parameters, salt, digest) = (parts.next()?, parts.next()?, parts.next()?);
        let iterations = parameters
            .split(',')
            .find_map(|pair| pair.strip_prefix("i="));
        let iterations = iterations.unwrap_or("10000").parse().ok()?;
        let digest = base64::standard(digest.as_bytes())?;
        let is_readable = parts.next().is_none()
            && iterations <= MOST_ITERATIONS
            && (16..=64).contains(&digest.len());
        is_readable.then_some(Self {
            iterations: NonZeroU32::new(iterations)?,
            salt: base64::standard(salt.as_bytes())?,
            digest,
        })
    }

    fn is_of(&self, secret: &str) -> bool {
        pbkdf2::verify(
            pbkdf2::PBKDF2_HMAC_SHA512,
            self.iterations,
            &self.salt,
            secret.as_bytes(),
            &self.digest,
        )
        .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_digest_is_of_one_secret() {
        // Of "secret", with the salt "saltsaltsaltsalt".
        let mut digest = [0; 32];
        let iterations = NonZeroU32::new(1000).unwrap();
        let algorithm = pbkdf2::PBKDF2_HMAC_SHA512;
        pbkdf2::derive(
            algorithm,
            iterations,
            b"saltsaltsaltsalt",
            b"secret",
            &mut digest,
        );
        let encode = |bytes: &[u8]| {
            use ::base64::Engine;
            ::base64::prelude::BASE64_STANDARD_NO_PAD.encode(bytes)
        };
        let (salt, digest) = (encode(b"saltsaltsaltsalt"), encode(&digest));
        let text = format!("$pbkdf2-sha512$i=1000,l=32${salt}${digest}");
        let read = Digest::parse(&text).unwrap();
        assert!(read.is_of("secret"));
        assert!(!read.is_of("Secret") && !read.is_of(""));
        for broken in [
            text.replace("i=1000", "i=0"),
            text.replace("i=1000", "i=4000000000"),
            text.replace("sha512", "sha1"),
            format!("{text}$x"),
            "secret".to_owned(),
        ] {
            assert!(Digest::parse(&broken).is_none(), "{broken}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_text_is_read_or_passed_over(text in "\\PC{0,40}") {
            let _ = Digest::parse(&format!("$pbkdf2-sha512${text}"));
        }
    }
}
