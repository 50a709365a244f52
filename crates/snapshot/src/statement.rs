//! The signed statement: a compact JWS (RFC 7515) over what a snapshot claims to be.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};

use crate::document::Claims;
use crate::key::PublicKey;
use crate::{Digest, StatementError};

/// The `typ` of the header: a signature that the cluster key made for another purpose is no
/// statement.
const TYPE: &str = "keelgate-snapshot";

/// Longest statement that is read: room for a chain of several large certificates.
const MAX_STATEMENT_BYTES: usize = 128 << 10;

/// Most certificates in a chain.
const MAX_CHAIN: usize = 8;

/// The protected header. Members that are not known (`crit`, `jwk`, `b64`, …) change how a JWS is
/// to be read, so they are refused.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    alg: String,
    typ: String,
    /// Digest of the signer's certificate.
    #[serde(rename = "x5t#S256")]
    thumbprint: String,
    /// The certificates of the signer, its own first: for readers that trust an authority.
    #[serde(rename = "x5c", default)]
    chain: Vec<String>,
}

/// What is signed.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Payload {
    #[serde(flatten)]
    pub(crate) claims: Claims,
    pub(crate) config_hash: String,
}

/// A statement in its three parts, the signature not yet verified.
pub(crate) struct Statement<'a> {
    header: Header,
    /// What the signer claims: to be believed only after [`Statement::verify`].
    pub(crate) payload: Payload,
    signed: &'a str,
    signature: Vec<u8>,
}

impl Header {
    pub(crate) fn new(key: &PublicKey, certificates: &[CertificateDer<'_>]) -> Self {
        let own = certificates.first().map_or(&[][..], |own| own.as_ref());
        let chain = certificates
            .iter()
            .map(|certificate| STANDARD.encode(certificate))
            .collect();
        Self {
            alg: key.algorithm.name().to_owned(),
            typ: TYPE.to_owned(),
            thumbprint: thumbprint(own),
            chain,
        }
    }
}

/// The `x5t#S256` of a certificate.
pub(crate) fn thumbprint(certificate: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(Digest::of(certificate).0)
}

/// The JSON of a part of a JWS, encoded.
pub(crate) fn encode(part: &impl Serialize) -> serde_json::Result<String> {
    Ok(URL_SAFE_NO_PAD.encode(serde_json::to_vec(part)?))
}

/// Appends the signature to the two other parts.
pub(crate) fn complete(signed: String, signature: &[u8]) -> String {
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

impl<'a> Statement<'a> {
    /// Takes the compact form apart.
    pub(crate) fn parse(compact: &'a str) -> Result<Self, StatementError> {
        if compact.len() > MAX_STATEMENT_BYTES {
            return Err(StatementError::Malformed("it is too long"));
        }
        let (signed, signature) = compact
            .rsplit_once('.')
            .ok_or(StatementError::Malformed("expected three parts"))?;
        let (header, payload) = signed
            .split_once('.')
            .ok_or(StatementError::Malformed("expected three parts"))?;
        let header: Header =
            decode(header).ok_or(StatementError::Malformed("the header cannot be read"))?;
        if header.typ != TYPE {
            return Err(StatementError::Malformed("it is of another `typ`"));
        }
        let payload =
            decode(payload).ok_or(StatementError::Malformed("the payload cannot be read"))?;
        let signature = URL_SAFE_NO_PAD
            .decode(signature)
            .map_err(|_| StatementError::Malformed("the signature cannot be read"))?;
        Ok(Self {
            header,
            payload,
            signed,
            signature,
        })
    }

    /// The name of the algorithm, as the header claims.
    pub(crate) fn algorithm(&self) -> &str {
        &self.header.alg
    }

    /// The digest of the signer's certificate, as the header claims.
    pub(crate) fn thumbprint(&self) -> &str {
        &self.header.thumbprint
    }

    /// The certificates that the header carries.
    pub(crate) fn chain(&self) -> Result<Vec<CertificateDer<'static>>, StatementError> {
        if self.header.chain.len() > MAX_CHAIN {
            return Err(StatementError::Malformed(
                "the certificate chain is too long",
            ));
        }
        self.header
            .chain
            .iter()
            .map(|text| STANDARD.decode(text).map(CertificateDer::from))
            .collect::<Result<_, _>>()
            .map_err(|_| StatementError::Malformed("the certificate chain cannot be read"))
    }

    /// Verifies the signature with the one algorithm that the key has.
    pub(crate) fn verify(self, key: &PublicKey) -> Result<Payload, StatementError> {
        let expected = key.algorithm.name();
        if self.header.alg != expected {
            return Err(StatementError::Algorithm {
                found: self.header.alg.chars().take(16).collect(),
                expected,
            });
        }
        if !key.verifies(self.signed.as_bytes(), &self.signature) {
            return Err(StatementError::Signature);
        }
        Ok(self.payload)
    }
}

fn decode<T: for<'de> Deserialize<'de>>(part: &str) -> Option<T> {
    let json = URL_SAFE_NO_PAD.decode(part).ok()?;
    serde_json::from_slice(&json).ok()
}
