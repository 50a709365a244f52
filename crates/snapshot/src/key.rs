//! The keys that sign and verify: one signature algorithm per kind of key.

use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519,
    RSA_PSS_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521,
    OID_PKCS1_RSAENCRYPTION, OID_SIG_ED25519,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::KeyError;

/// A signature algorithm of JWS. The kind of key decides it: a header cannot choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Es256,
    Es384,
    Es512,
    Ps256,
    EdDsa,
}

impl Algorithm {
    /// Its name in the header of a JWS.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::Ps256 => "PS256",
            Self::EdDsa => "EdDSA",
        }
    }

    fn verification(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::Es256 => &ECDSA_P256_SHA256_FIXED,
            Self::Es384 => &ECDSA_P384_SHA384_FIXED,
            Self::Es512 => &ECDSA_P521_SHA512_FIXED,
            Self::Ps256 => &RSA_PSS_2048_8192_SHA256,
            Self::EdDsa => &ED25519,
        }
    }

    /// The algorithm for an elliptic curve, where signing needs one.
    pub(crate) fn ecdsa_signing(self) -> Option<&'static signature::EcdsaSigningAlgorithm> {
        match self {
            Self::Es256 => Some(&signature::ECDSA_P256_SHA256_FIXED_SIGNING),
            Self::Es384 => Some(&signature::ECDSA_P384_SHA384_FIXED_SIGNING),
            Self::Es512 => Some(&signature::ECDSA_P521_SHA512_FIXED_SIGNING),
            Self::Ps256 | Self::EdDsa => None,
        }
    }
}

/// The public key of a certificate.
#[derive(Clone, Debug)]
pub(crate) struct PublicKey {
    pub(crate) algorithm: Algorithm,
    /// The point, the modulus with its exponent, or the Ed25519 key.
    pub(crate) bytes: Vec<u8>,
}

impl PublicKey {
    /// Takes the key out of a certificate.
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Result<Self, KeyError> {
        let (rest, certificate) = X509Certificate::from_der(certificate)
            .map_err(|error| KeyError::Certificate(error.to_string()))?;
        if !rest.is_empty() {
            let reason = "bytes follow its end".to_owned();
            return Err(KeyError::Certificate(reason));
        }
        let info = certificate.public_key();
        let curve = info
            .algorithm
            .parameters
            .as_ref()
            .and_then(|parameters| parameters.as_oid().ok());
        let kind = &info.algorithm.algorithm;
        let algorithm = if *kind == OID_KEY_TYPE_EC_PUBLIC_KEY {
            match curve {
                Some(curve) if curve == OID_EC_P256 => Algorithm::Es256,
                Some(curve) if curve == OID_NIST_EC_P384 => Algorithm::Es384,
                Some(curve) if curve == OID_NIST_EC_P521 => Algorithm::Es512,
                Some(curve) => return Err(KeyError::Unsupported(format!("EC {curve}"))),
                None => return Err(KeyError::Unsupported("EC".to_owned())),
            }
        } else if *kind == OID_PKCS1_RSAENCRYPTION {
            Algorithm::Ps256
        } else if *kind == OID_SIG_ED25519 {
            Algorithm::EdDsa
        } else {
            return Err(KeyError::Unsupported(kind.to_string()));
        };
        Ok(Self {
            algorithm,
            bytes: info.subject_public_key.data.to_vec(),
        })
    }

    /// Whether the signature is of this key over the message.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(self.algorithm.verification(), &self.bytes)
            .verify(message, signature)
            .is_ok()
    }
}

/// All certificates of a PEM text, at least one.
pub(crate) fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, KeyError> {
    let certificates = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| KeyError::Certificate(error.to_string()))?;
    if certificates.is_empty() {
        return Err(KeyError::NoCertificate);
    }
    Ok(certificates)
}
