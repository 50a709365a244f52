//! A certificate and its key, as storages keep them and as TLS serves them.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use x509_parser::public_key::PublicKey;

/// A certificate chain and its key, in PEM.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct CertKey {
    pub(crate) key: String,
    pub(crate) cert: String,
}

/// Why a certificate cannot be used. No part of a key is in the text.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificateError {
    #[error("the certificate in the storage cannot be read")]
    Unread,
    #[error("the private key in the storage cannot be read")]
    UnreadKey,
    #[error("certificate and key do not fit: {0}")]
    Unfit(rustls::Error),
}

impl CertKey {
    /// As TLS serves it.
    pub(crate) fn certified(&self) -> Result<Arc<CertifiedKey>, CertificateError> {
        let chain: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(self.cert.as_bytes())
                .collect::<Result<_, _>>()
                .map_err(|_| CertificateError::Unread)?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes());
        let key = key.map_err(|_| CertificateError::UnreadKey)?;
        CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
            .map(Arc::new)
            .map_err(CertificateError::Unfit)
    }

    /// When it ends, in seconds since 1970.
    pub(crate) fn not_after(&self) -> Result<i64, CertificateError> {
        self.with_leaf(|leaf, _| leaf.validity().not_after.timestamp())
    }

    fn with_leaf<T>(
        &self,
        read: impl FnOnce(&X509Certificate<'_>, &[u8]) -> T,
    ) -> Result<T, CertificateError> {
        let leaf = CertificateDer::from_pem_slice(self.cert.as_bytes());
        let leaf = leaf.map_err(|_| CertificateError::Unread)?;
        let (_, parsed) = X509Certificate::from_der(&leaf).map_err(|_| CertificateError::Unread)?;
        Ok(read(&parsed, &leaf))
    }

    /// As the Admin API tells it; `now` is in seconds since 1970.
    pub(crate) fn told(&self, now: i64) -> Result<Value, CertificateError> {
        self.with_leaf(|leaf, der| {
            let validity = leaf.validity();
            let (begin, end) = (
                validity.not_before.timestamp(),
                validity.not_after.timestamp(),
            );
            json!({
                "digest": hex(aws_lc_rs_sha1(der).as_ref()),
                "host": common_name(leaf.subject()).or_else(|| first_name(leaf)),
                "issuer_cn": common_name(leaf.issuer()),
                "not_before": at(begin),
                "not_after": at(end),
                "valid": begin <= now && now < end,
                "serial_number": hex(significant(leaf.raw_serial())),
                "pubkey_type": match leaf.public_key().parsed() {
                    Ok(PublicKey::RSA(_)) => "rsaEncryption",
                    Ok(PublicKey::EC(_)) => "id-ecPublicKey",
                    _ => "unknown",
                },
            })
        })
    }
}

/// Digests that tell certificates apart are of SHA-1 by custom; nothing leans on its strength.
fn aws_lc_rs_sha1(bytes: &[u8]) -> ::aws_lc_rs::digest::Digest {
    use ::aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
    digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes)
}

pub(super) fn common_name(name: &x509_parser::x509::X509Name<'_>) -> Option<String> {
    let mut names = name.iter_common_name();
    Some(names.next()?.as_str().ok()?.to_owned())
}

/// The first name of a certificate that has no common name, as is usual today.
fn first_name(leaf: &X509Certificate<'_>) -> Option<String> {
    let names = leaf.subject_alternative_name().ok()??;
    names
        .value
        .general_names
        .iter()
        .find_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        })
}

/// A number without the zeros before it, of which one says that it is positive.
fn significant(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// `AB:CD`.
fn hex(bytes: &[u8]) -> String {
    let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    pairs.join(":")
}

/// `2024-02-29 12:34:56`, in UTC.
fn at(seconds: i64) -> String {
    let at = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}
