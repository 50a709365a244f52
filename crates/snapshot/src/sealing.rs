//! Sealing: encryption of whole documents, for storages and disks whose readers are not to see the
//! configuration.
//!
//! A sealed document is a JWE (RFC 7516) in flattened JSON form, encrypted directly with a shared
//! key:
//!
//! ```json
//! {"protected":"base64url of the header","iv":"…","ciphertext":"…","tag":"…"}
//! ```
//!
//! The header is `{"alg":"dir","enc":"A256GCM","kid":"…","typ":"keelgate-sealed-snapshot",
//! "identity":{…},"version":"…","created_at":…}`: tools can tell what lies there without a key, and
//! the tag covers it. The plain text is the signed document, byte for byte: sealing hides a
//! configuration, and its signature alone makes it believed.
//!
//! Nonces are 96 random bits, which is good for 2³² documents per key: more than a century of one
//! every second.

mod envelope;
mod keys;

pub use envelope::{SealedHeader, is_sealed, sealed_header};
pub use keys::SealingKeys;
