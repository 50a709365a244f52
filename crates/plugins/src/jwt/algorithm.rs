//! The algorithms that tokens may be signed with (RFC 7518, RFC 8037).

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512,
    VerificationAlgorithm,
};

/// How a token is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Hs256,
    Hs384,
    Hs512,
    Rs256,
    Rs384,
    Rs512,
    Es256,
    Es384,
    Es512,
    Ps256,
    Ps384,
    Ps512,
    EdDsa,
}

/// What proves a signature.
pub(crate) enum Method {
    /// A shared secret.
    Mac(hmac::Algorithm),
    /// A public key. The key must be of the algorithm's own kind.
    Signature(&'static dyn VerificationAlgorithm),
}

impl Algorithm {
    /// The algorithm that `alg` names; letter case counts, and `none` is none.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "HS256" => Self::Hs256,
            "HS384" => Self::Hs384,
            "HS512" => Self::Hs512,
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "ES512" => Self::Es512,
            "PS256" => Self::Ps256,
            "PS384" => Self::Ps384,
            "PS512" => Self::Ps512,
            "EdDSA" => Self::EdDsa,
            _ => return None,
        })
    }

    pub(crate) fn method(self) -> Method {
        match self {
            Self::Hs256 => Method::Mac(hmac::HMAC_SHA256),
            Self::Hs384 => Method::Mac(hmac::HMAC_SHA384),
            Self::Hs512 => Method::Mac(hmac::HMAC_SHA512),
            Self::Rs256 => Method::Signature(&RSA_PKCS1_2048_8192_SHA256),
            Self::Rs384 => Method::Signature(&RSA_PKCS1_2048_8192_SHA384),
            Self::Rs512 => Method::Signature(&RSA_PKCS1_2048_8192_SHA512),
            Self::Es256 => Method::Signature(&ECDSA_P256_SHA256_FIXED),
            Self::Es384 => Method::Signature(&ECDSA_P384_SHA384_FIXED),
            Self::Es512 => Method::Signature(&ECDSA_P521_SHA512_FIXED),
            Self::Ps256 => Method::Signature(&RSA_PSS_2048_8192_SHA256),
            Self::Ps384 => Method::Signature(&RSA_PSS_2048_8192_SHA384),
            Self::Ps512 => Method::Signature(&RSA_PSS_2048_8192_SHA512),
            Self::EdDsa => Method::Signature(&ED25519),
        }
    }
}
