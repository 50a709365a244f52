//! The keys that seal and open.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use bytes::Bytes;

use super::envelope::{self, Envelope, TAG_BYTES};
use super::is_sealed;
use crate::{SealError, SealingKeyError, Snapshot, VerifyError};

/// Shared keys with ids. The first seals, all open: a new key is put at the end on every node,
/// then at the front on every node, and the old one is removed when nothing that it sealed is
/// wanted any more.
pub struct SealingKeys {
    sealing: SealingKey,
    opening: Vec<SealingKey>,
}

struct SealingKey {
    id: String,
    key: RandomizedNonceKey,
}

impl SealingKeys {
    /// Takes keys of 32 random bytes with their ids, the one that seals first.
    ///
    /// # Errors
    ///
    /// When there is none, or an id is no id or stands twice.
    pub fn new<'a>(
        keys: impl IntoIterator<Item = (&'a str, &'a [u8; 32])>,
    ) -> Result<Self, SealingKeyError> {
        let mut taken: Vec<SealingKey> = Vec::new();
        for (index, (id, key)) in keys.into_iter().enumerate() {
            if !envelope::is_key_id(id) {
                return Err(SealingKeyError::Id { place: index + 1 });
            }
            let id = id.to_owned();
            if taken.iter().any(|known| known.id == id) {
                return Err(SealingKeyError::Duplicate { id });
            }
            let key =
                RandomizedNonceKey::new(&AES_256_GCM, key).expect("32 bytes are a key of AES-256");
            taken.push(SealingKey { id, key });
        }
        let mut taken = taken.into_iter();
        let sealing = taken.next().ok_or(SealingKeyError::None)?;
        Ok(Self {
            sealing,
            opening: taken.collect(),
        })
    }

    /// The ids, that of the sealing key first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.all().map(|key| key.id.as_str())
    }

    fn all(&self) -> impl Iterator<Item = &SealingKey> {
        std::iter::once(&self.sealing).chain(&self.opening)
    }

    /// Seals a snapshot with the first key. Each sealing of the same snapshot has other bytes.
    ///
    /// # Errors
    ///
    /// When the sealed document, a third larger than the plain one, has more than
    /// [`crate::MAX_DOCUMENT_BYTES`].
    pub fn seal(&self, snapshot: &Snapshot) -> Result<Bytes, SealError> {
        let SealingKey { id, key } = &self.sealing;
        let protected = envelope::protect(snapshot, id)?;
        let mut content = snapshot.document().to_vec();
        let (nonce, tag) = key
            .seal_in_place_separate_tag(Aad::from(protected.as_bytes()), &mut content)
            .map_err(|_| SealError::Sealing)?;
        let document = envelope::write(&protected, nonce.as_ref(), &content, tag.as_ref())?;
        Ok(Bytes::from(document))
    }

    /// Opens a sealed document; one that is not sealed is given back as it is.
    ///
    /// # Errors
    ///
    /// When the key is not known, or the document is not what was sealed with it.
    pub fn open(&self, document: Bytes) -> Result<Bytes, SealError> {
        if !is_sealed(&document) {
            return Ok(document);
        }
        self.open_envelope(&Envelope::parse(&document)?)
    }

    /// Opens a document, where it is sealed, and has it verified. What a sealed document claims
    /// outside must be what it holds.
    ///
    /// # Errors
    ///
    /// When it cannot be opened, `verify` refuses it, or the claims outside are of another snapshot.
    pub fn verify(
        &self,
        document: Bytes,
        verify: impl FnOnce(Bytes) -> Result<Snapshot, VerifyError>,
    ) -> Result<Snapshot, VerifyError> {
        if !is_sealed(&document) {
            return verify(document);
        }
        let envelope = Envelope::parse(&document)?;
        let snapshot = verify(self.open_envelope(&envelope)?)?;
        let claimed = &envelope.header;
        if claimed.identity == *snapshot.identity()
            && claimed.version == snapshot.version()
            && claimed.created_at == snapshot.created_at()
        {
            return Ok(snapshot);
        }
        let claimed = claimed.identity;
        Err(SealError::Mislabelled { claimed }.into())
    }

    /// Whether a document is sealed with the key that seals now. One that is not (it is plain, or
    /// sealed with a key that is to be retired) is worth sealing anew.
    pub fn is_current(&self, document: &[u8]) -> bool {
        envelope::sealed_header(document).is_ok_and(|header| header.key_id == self.sealing.id)
    }

    fn open_envelope(&self, envelope: &Envelope<'_>) -> Result<Bytes, SealError> {
        let id = &envelope.header.key_id;
        let known = self.all().find(|key| key.id == *id);
        let Some(SealingKey { key, .. }) = known else {
            let key_id = id.clone();
            return Err(SealError::UnknownKey { key_id });
        };
        let mut content = envelope.content()?;
        let nonce = Nonce::assume_unique_for_key(envelope.nonce);
        let aad = Aad::from(envelope.protected.as_bytes());
        key.open_in_place(nonce, aad, &mut content)
            .map_err(|_| SealError::Broken { key_id: id.clone() })?;
        content.truncate(content.len().saturating_sub(TAG_BYTES));
        Ok(Bytes::from(content))
    }
}

impl fmt::Debug for SealingKeys {
    /// The ids alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SealingKeys")
            .field(&self.ids().collect::<Vec<_>>())
            .finish()
    }
}
