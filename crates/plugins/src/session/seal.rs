//! Sessions sealed into cookies.
//!
//! A cookie is `1` and base64url of a random salt and of what AES-256-GCM makes of the content,
//! under a key of its own that HKDF-SHA256 derives from the secret and the salt. What the cookie is
//! (its name and its audience) is authenticated with it, so that none is taken for another.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{hkdf, rand};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The longest cookie that is read.
const LONGEST: usize = 4096;

const VERSION: u8 = b'1';
const SALT: usize = 32;
const PURPOSE: &[&[u8]] = &[b"keelgate session cookie"];

/// Seals and opens cookies of one name and audience.
pub(super) struct Seal {
    secret: Vec<u8>,
    context: Vec<u8>,
}

impl Seal {
    /// For the cookies with this name, for this audience.
    pub(super) fn new(secret: &[u8], name: &str, audience: &str) -> Self {
        // A name has no NUL in it.
        let context = [name.as_bytes(), b"\0", audience.as_bytes()].concat();
        Self {
            secret: secret.to_vec(),
            context,
        }
    }

    fn key(&self, salt: &[u8]) -> Option<LessSafeKey> {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, salt);
        let derived = salt.extract(&self.secret);
        let derived = derived.expand(PURPOSE, &AES_256_GCM).ok()?;
        Some(LessSafeKey::new(UnboundKey::from(derived)))
    }

    /// Each key encrypts once: its nonce need not differ.
    fn nonce() -> Nonce {
        Nonce::assume_unique_for_key([0; NONCE_LEN])
    }

    /// The cookie's value; `None` when the system gives no random bytes.
    pub(super) fn seal(&self, content: &[u8]) -> Option<String> {
        let mut salt = [0; SALT];
        rand::fill(&mut salt).ok()?;
        let mut sealed = content.to_vec();
        self.key(&salt)?
            .seal_in_place_append_tag(Self::nonce(), Aad::from(&self.context), &mut sealed)
            .ok()?;
        let mut value = String::with_capacity(1 + (SALT + sealed.len()).div_ceil(3) * 4);
        value.push(char::from(VERSION));
        URL_SAFE_NO_PAD.encode_string([&salt[..], &sealed].concat(), &mut value);
        Some(value)
    }

    /// What a cookie holds that was sealed with the same secret, name and audience.
    pub(super) fn open(&self, value: &[u8]) -> Option<Vec<u8>> {
        if value.len() > LONGEST {
            return None;
        }
        let encoded = value.strip_prefix(&[VERSION])?;
        let bytes = URL_SAFE_NO_PAD.decode(encoded).ok()?;
        let (salt, sealed) = bytes.split_at_checked(SALT)?;
        let mut sealed = sealed.to_vec();
        let key = self.key(salt)?;
        let opened = key.open_in_place(Self::nonce(), Aad::from(&self.context), &mut sealed);
        let length = opened.ok()?.len();
        sealed.truncate(length);
        Some(sealed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seal() -> Seal {
        Seal::new(b"s3cret", "session", "default")
    }

    #[test]
    fn what_is_sealed_is_opened_by_the_same_seal_alone() {
        let value = seal().seal(b"content").unwrap();
        assert_eq!(seal().open(value.as_bytes()).unwrap(), b"content");
        for other in [
            Seal::new(b"other", "session", "default"),
            Seal::new(b"s3cret", "remember", "default"),
            Seal::new(b"s3cret", "session", "other"),
        ] {
            assert!(other.open(value.as_bytes()).is_none());
        }
    }

    #[test]
    fn equal_contents_look_different() {
        assert_ne!(seal().seal(b"content"), seal().seal(b"content"));
    }

    #[test]
    fn a_cookie_that_is_too_long_is_not_read() {
        let value = seal().seal(&[b'x'; LONGEST]).unwrap();
        assert!(seal().open(value.as_bytes()).is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_other_value_is_opened(value: Vec<u8>, at: prop::sample::Index, bit in 0..8u32) {
            prop_assert_eq!(seal().open(&value), None);
            let mut sealed = seal().seal(b"content").unwrap().into_bytes();
            let at = at.index(sealed.len());
            sealed[at] ^= 1u8 << bit;
            prop_assert_eq!(seal().open(&sealed), None);
        }
    }
}
