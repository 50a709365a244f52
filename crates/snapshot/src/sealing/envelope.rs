//! The form of a sealed document: a JWE in flattened JSON.

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::document::{self, MAX_DOCUMENT_BYTES};
use crate::error::bounded;
use crate::{Identity, SealError, Snapshot};

/// How the content key is found: it is the shared key itself.
const ALGORITHM: &str = "dir";

/// How the content is encrypted.
const ENCRYPTION: &str = "A256GCM";

/// The `typ` of the header: what was encrypted with the key for another purpose is no snapshot.
const TYPE: &str = "keelgate-sealed-snapshot";

/// Longest encoded header that is read.
const MAX_HEADER_BYTES: usize = 4 << 10;

/// Longest key id.
const MAX_KEY_ID_BYTES: usize = 64;

/// Length of a nonce.
pub(super) const NONCE_BYTES: usize = 12;

/// Length of an authentication tag.
pub(super) const TAG_BYTES: usize = 16;

/// The whole document. None of its members needs an escape, so all are borrowed; members that are
/// not known (`unprotected`, `aad`, `encrypted_key`, …) change how a JWE is to be read, so they are
/// refused.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Flattened<'a> {
    protected: &'a str,
    iv: &'a str,
    ciphertext: &'a str,
    tag: &'a str,
}

/// The protected header. Members that are not known (`crit`, `zip`, …) are refused.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    enc: String,
    kid: String,
    typ: String,
    identity: Identity,
    version: String,
    /// Milliseconds since 1970.
    created_at: u64,
}

/// What a sealed document tells without a key. Nothing vouches for it until it was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedHeader {
    /// The id of the key that opens it.
    pub key_id: String,
    /// What the snapshot inside claims to be.
    pub identity: Identity,
    /// Version of the software that made the snapshot.
    pub version: String,
    /// When the snapshot was made.
    pub created_at: SystemTime,
}

/// A sealed document in its parts, not yet opened.
pub(super) struct Envelope<'a> {
    pub(super) header: SealedHeader,
    /// The header as it stands in the document: what the tag covers beside the content.
    pub(super) protected: &'a str,
    pub(super) nonce: [u8; NONCE_BYTES],
    ciphertext: &'a str,
    tag: [u8; TAG_BYTES],
}

/// Whether a document is sealed. Looks at its beginning only: `protected` comes first.
pub fn is_sealed(document: &[u8]) -> bool {
    let after = |text: &'_ [u8], token: &[u8]| -> Option<usize> {
        let start = text.len() - text.trim_ascii_start().len();
        text[start..]
            .starts_with(token)
            .then_some(start + token.len())
    };
    after(document, b"{").is_some_and(|at| after(&document[at..], b"\"protected\"").is_some())
}

/// What a sealed document tells without a key.
///
/// # Errors
///
/// When it is no sealed document of this form.
pub fn sealed_header(document: &[u8]) -> Result<SealedHeader, SealError> {
    Envelope::parse(document).map(|envelope| envelope.header)
}

impl<'a> Envelope<'a> {
    /// Takes a sealed document apart.
    pub(super) fn parse(document: &'a [u8]) -> Result<Self, SealError> {
        if document.len() > MAX_DOCUMENT_BYTES {
            let (bytes, limit) = (document.len(), MAX_DOCUMENT_BYTES);
            return Err(SealError::TooLarge { bytes, limit });
        }
        let parts: Flattened<'_> = serde_json::from_slice(document).map_err(|error| {
            if error.is_eof() {
                let bytes = document.len();
                SealError::Truncated { bytes }
            } else {
                SealError::Malformed(bounded(&error))
            }
        })?;
        Ok(Self {
            header: header(parts.protected)?,
            protected: parts.protected,
            nonce: fixed(parts.iv, "iv")?,
            ciphertext: parts.ciphertext,
            tag: fixed(parts.tag, "tag")?,
        })
    }

    /// The encrypted content, followed by its tag.
    pub(super) fn content(&self) -> Result<Vec<u8>, SealError> {
        let mut content = Vec::with_capacity(self.ciphertext.len() / 4 * 3 + 3 + TAG_BYTES);
        URL_SAFE_NO_PAD
            .decode_vec(self.ciphertext, &mut content)
            .map_err(|_| malformed("`ciphertext` is not base64url"))?;
        content.extend_from_slice(&self.tag);
        Ok(content)
    }
}

/// Whether a text can be the id of a key.
pub(super) fn is_key_id(text: &str) -> bool {
    (1..=MAX_KEY_ID_BYTES).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

fn malformed(reason: &str) -> SealError {
    SealError::Malformed(reason.to_owned())
}

fn header(protected: &str) -> Result<SealedHeader, SealError> {
    if protected.len() > MAX_HEADER_BYTES {
        return Err(malformed("`protected` is too long"));
    }
    let json = URL_SAFE_NO_PAD
        .decode(protected)
        .map_err(|_| malformed("`protected` is not base64url"))?;
    let header: Header = serde_json::from_slice(&json)
        .map_err(|error| SealError::Malformed(format!("`protected`: {}", bounded(&error))))?;
    if header.alg != ALGORITHM || header.enc != ENCRYPTION || header.typ != TYPE {
        return Err(malformed(
            "`protected` must say `alg: dir`, `enc: A256GCM`, `typ: keelgate-sealed-snapshot`",
        ));
    }
    if !is_key_id(&header.kid) {
        return Err(malformed("`kid` is no id of a key"));
    }
    Ok(SealedHeader {
        created_at: document::from_millis(header.created_at),
        key_id: header.kid,
        identity: header.identity,
        version: header.version,
    })
}

fn fixed<const N: usize>(text: &str, member: &str) -> Result<[u8; N], SealError> {
    let mut bytes = [0; N];
    match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
        Ok(length) if length == N => Ok(bytes),
        _ => Err(SealError::Malformed(format!(
            "`{member}` is not base64url of {N} bytes"
        ))),
    }
}

/// The encoded header of a snapshot that is to be sealed.
pub(super) fn protect(snapshot: &Snapshot, key_id: &str) -> Result<String, SealError> {
    let header = Header {
        alg: ALGORITHM.to_owned(),
        enc: ENCRYPTION.to_owned(),
        kid: key_id.to_owned(),
        typ: TYPE.to_owned(),
        identity: *snapshot.identity(),
        version: snapshot.version().to_owned(),
        created_at: document::to_millis(snapshot.created_at()).unwrap_or_default(),
    };
    let json = serde_json::to_vec(&header).map_err(|error| malformed(&error.to_string()))?;
    Ok(URL_SAFE_NO_PAD.encode(json))
}

/// Writes a sealed document.
pub(super) fn write(
    protected: &str,
    nonce: &[u8],
    ciphertext: &[u8],
    tag: &[u8],
) -> Result<String, SealError> {
    let (iv, tag) = (URL_SAFE_NO_PAD.encode(nonce), URL_SAFE_NO_PAD.encode(tag));
    let head = format!("{{\"protected\":\"{protected}\",\"iv\":\"{iv}\",\"ciphertext\":\"");
    let tail = format!("\",\"tag\":\"{tag}\"}}");
    let content = ciphertext.len().div_ceil(3) * 4;
    let bytes = head.len() + content + tail.len();
    if bytes > MAX_DOCUMENT_BYTES {
        let limit = MAX_DOCUMENT_BYTES;
        return Err(SealError::TooLarge { bytes, limit });
    }
    let mut document = String::with_capacity(bytes);
    document.push_str(&head);
    URL_SAFE_NO_PAD.encode_string(ciphertext, &mut document);
    document.push_str(&tail);
    Ok(document)
}
