//! Names and the secrets that their requests are signed with.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use http::HeaderValue;
use keelgate_entities::kinds::HmacAuthCredential;
use uuid::Uuid;

/// A name and the secret that its requests are signed with.
pub struct HmacAuth {
    /// Identity of the credential.
    pub id: Uuid,
    /// Its owner.
    pub consumer: Uuid,
    /// The name.
    pub username: String,
    /// `X-Credential-Identifier`; none for a name that cannot stand in a header.
    pub header: Option<HeaderValue>,
    secret: String,
}

/// Leaves the secret out.
impl fmt::Debug for HmacAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HmacAuth")
            .field("id", &self.id)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

impl HmacAuth {
    /// `None` for a credential without a secret: nothing can be signed with it.
    pub(super) fn of(credential: HmacAuthCredential) -> Option<Self> {
        Some(Self {
            id: credential.id,
            consumer: credential.consumer.0,
            header: HeaderValue::from_bytes(credential.username.as_bytes()).ok(),
            username: credential.username,
            secret: credential.secret?,
        })
    }

    /// Whether the secret signs what `write` feeds; in a time that does not tell how much of the
    /// signature is right.
    pub(crate) fn signs(
        &self,
        method: hmac::Algorithm,
        signature: &[u8],
        write: impl FnOnce(&mut hmac::Context),
    ) -> bool {
        let key = hmac::Key::new(method, self.secret.as_bytes());
        let mut context = hmac::Context::with_key(&key);
        write(&mut context);
        verify_slices_are_equal(context.sign().as_ref(), signature).is_ok()
    }
}
