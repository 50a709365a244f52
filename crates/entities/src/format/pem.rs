//! Certificates and keys.

use aws_lc_rs::digest;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
    EcdsaKeyPair, Ed25519KeyPair, KeyPair,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::SubjectPublicKeyInfo;

/// A certificate in PEM.
pub(crate) fn certificate(text: &str) -> Result<(), String> {
    with_certificate(text, |_| ()).map_err(|why| format!("invalid certificate: {why}"))
}

/// A private key in PEM.
pub(crate) fn key(text: &str) -> Result<(), String> {
    public_key_of(text)
        .map(drop)
        .map_err(|why| format!("invalid key: {why}"))
}

/// Reads the first certificate of a chain.
pub(crate) fn with_certificate<T>(
    text: &str,
    read: impl FnOnce(&X509Certificate<'_>) -> T,
) -> Result<T, String> {
    let der = CertificateDer::from_pem_slice(text.as_bytes())
        .map_err(|_| "expected a PEM block that starts with BEGIN CERTIFICATE".to_owned())?;
    let (_, certificate) = X509Certificate::from_der(&der)
        .map_err(|error| format!("the PEM block holds no X.509 certificate: {error}"))?;
    Ok(read(&certificate))
}

/// The kind of the key of a certificate: the identifier of its algorithm.
pub(crate) fn key_type(text: &str) -> Option<String> {
    with_certificate(text, |certificate| {
        certificate.public_key().algorithm.algorithm.to_id_string()
    })
    .ok()
}

/// Whether a certificate was made for a private key.
pub(crate) fn belong_together(certificate: &str, key: &str) -> bool {
    let Ok(public) = public_key_of(key) else {
        return false;
    };
    with_certificate(certificate, |certificate| {
        certificate.public_key().subject_public_key.data.as_ref() == public.as_slice()
    })
    .unwrap_or(false)
}

/// SHA-256 of a certificate, in hexadecimal.
pub(crate) fn digest(text: &str) -> Option<String> {
    let der = CertificateDer::from_pem_slice(text.as_bytes()).ok()?;
    let digest = digest::digest(&digest::SHA256, &der);
    Some(hexadecimal(digest.as_ref()))
}

/// Bytes in lower-case hexadecimal.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bits of the public key that belongs to a private key in PEM.
fn public_key_of(text: &str) -> Result<Vec<u8>, String> {
    let der = PrivateKeyDer::from_pem_slice(text.as_bytes())
        .map_err(|_| "expected a PEM block with a private key".to_owned())?;
    let public = match &der {
        PrivateKeyDer::Pkcs1(key) => rsa::KeyPair::from_der(key.secret_pkcs1_der())
            .ok()
            .map(|pair| pair.public_key().as_ref().to_vec()),
        PrivateKeyDer::Sec1(key) => curves()
            .into_iter()
            .find_map(|curve| EcdsaKeyPair::from_private_key_der(curve, key.secret_sec1_der()).ok())
            .map(|pair| pair.public_key().as_ref().to_vec()),
        PrivateKeyDer::Pkcs8(key) => {
            let der = key.secret_pkcs8_der();
            rsa::KeyPair::from_pkcs8(der)
                .ok()
                .map(|pair| pair.public_key().as_ref().to_vec())
                .or_else(|| {
                    curves()
                        .into_iter()
                        .find_map(|curve| EcdsaKeyPair::from_pkcs8(curve, der).ok())
                        .map(|pair| pair.public_key().as_ref().to_vec())
                })
                .or_else(|| {
                    Ed25519KeyPair::from_pkcs8_maybe_unchecked(der)
                        .ok()
                        .map(|pair| pair.public_key().as_ref().to_vec())
                })
        }
        _ => None,
    };
    public.ok_or_else(|| "the PEM block holds no RSA, ECDSA or Ed25519 key".to_owned())
}

fn curves() -> [&'static aws_lc_rs::signature::EcdsaSigningAlgorithm; 3] {
    [
        &ECDSA_P256_SHA256_ASN1_SIGNING,
        &ECDSA_P384_SHA384_ASN1_SIGNING,
        &ECDSA_P521_SHA512_ASN1_SIGNING,
    ]
}

/// Whether text holds a public key in PEM.
pub(crate) fn public_key(text: &str) -> bool {
    let spki = rustls_pki_types::SubjectPublicKeyInfoDer::from_pem_slice(text.as_bytes());
    match spki {
        Ok(der) => SubjectPublicKeyInfo::from_der(&der).is_ok(),
        Err(_) => false,
    }
}

/// Whether text holds a private key in PEM.
pub(crate) fn private_key(text: &str) -> bool {
    public_key_of(text).is_ok()
}

/// What signatures are verified with: a public key in DER, or the bits of the one that belongs to
/// a private key.
pub(crate) fn verification_key(text: &str) -> Option<Vec<u8>> {
    match rustls_pki_types::SubjectPublicKeyInfoDer::from_pem_slice(text.as_bytes()) {
        Ok(der) => Some(der.as_ref().to_vec()),
        Err(_) => public_key_of(text).ok(),
    }
}

/// Whether a private and a public key are a pair.
pub(crate) fn pair(private: &str, public: &str) -> bool {
    let spki = rustls_pki_types::SubjectPublicKeyInfoDer::from_pem_slice(public.as_bytes());
    let (Ok(bits), Ok(der)) = (public_key_of(private), spki) else {
        return false;
    };
    SubjectPublicKeyInfo::from_der(&der)
        .is_ok_and(|(_, public)| public.subject_public_key.data.as_ref() == bits.as_slice())
}
