//! Signing with the cluster key.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PSS_SHA256, RsaKeyPair,
};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;

use crate::KeyError;
use crate::key::{self, Algorithm, PublicKey};
use crate::statement::{self, Header, Payload};

/// The certificate and private key of a control plane.
pub struct Signer {
    algorithm: Algorithm,
    key: PrivateKey,
    /// The encoded header: the same in each statement.
    header: String,
}

enum PrivateKey {
    Ecdsa(EcdsaKeyPair),
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Signer {
    /// Takes a certificate (followed by its chain, if an authority issued it) and its key.
    ///
    /// Each statement carries the digest of the certificate, for readers that share it, and the
    /// chain, for readers that trust an authority.
    ///
    /// # Errors
    ///
    /// When a text cannot be read, the kind of key is not supported, or the two are no pair.
    pub fn from_pem(cert_pem: &str, key_pem: &str) -> Result<Self, KeyError> {
        let certificates = key::certificates(cert_pem)?;
        let own = certificates.first().ok_or(KeyError::NoCertificate)?;
        let public = PublicKey::of(own)?;
        let private =
            PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(|_| KeyError::PrivateKey)?;
        let key = PrivateKey::read(public.algorithm, &private)?;
        if key.public() != public.bytes {
            return Err(KeyError::Mismatch);
        }
        let header = statement::encode(&Header::new(&public, &certificates))
            .map_err(|_| KeyError::Signing)?;
        Ok(Self {
            algorithm: public.algorithm,
            key,
            header,
        })
    }

    /// The statement over a payload, in compact form.
    pub(crate) fn state(&self, payload: &Payload) -> Result<String, KeyError> {
        let payload = statement::encode(payload).map_err(|_| KeyError::Signing)?;
        let signed = format!("{}.{payload}", self.header);
        let signature = self.key.sign(signed.as_bytes())?;
        Ok(statement::complete(signed, &signature))
    }
}

impl PrivateKey {
    fn read(algorithm: Algorithm, der: &PrivateKeyDer<'_>) -> Result<Self, KeyError> {
        let bytes = der.secret_der();
        let key = match (algorithm, der) {
            (Algorithm::Ps256, PrivateKeyDer::Pkcs1(_)) => {
                RsaKeyPair::from_der(bytes).map(Self::Rsa)
            }
            (Algorithm::Ps256, _) => RsaKeyPair::from_pkcs8(bytes).map(Self::Rsa),
            (Algorithm::EdDsa, _) => {
                Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes).map(Self::Ed25519)
            }
            (algorithm, _) => {
                let curve = algorithm.ecdsa_signing().ok_or(KeyError::PrivateKey)?;
                EcdsaKeyPair::from_private_key_der(curve, bytes).map(Self::Ecdsa)
            }
        };
        // A key of another kind than the certificate's is the usual reason.
        key.map_err(|_| KeyError::Mismatch)
    }

    fn public(&self) -> &[u8] {
        match self {
            Self::Ecdsa(key) => key.public_key().as_ref(),
            Self::Rsa(key) => key.public_key().as_ref(),
            Self::Ed25519(key) => key.public_key().as_ref(),
        }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let random = SystemRandom::new();
        match self {
            Self::Ecdsa(key) => key
                .sign(&random, message)
                .map(|signature| signature.as_ref().to_vec()),
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PSS_SHA256, &random, message, &mut signature)
                    .map(|()| signature)
            }
            Self::Ed25519(key) => Ok(key.sign(message).as_ref().to_vec()),
        }
        .map_err(|_| KeyError::Signing)
    }
}

impl fmt::Debug for Signer {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}
