//! Certificates and keys, given as a path, as PEM text, or as base64 of PEM text.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::secret::Secret;
use super::{Context, Invalid, Kind, Setting};

/// A certificate, and the chain that follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The file it was read from; `None` when it was given as text.
    pub path: Option<PathBuf>,
    /// PEM text.
    pub pem: String,
}

/// A private key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrivateKey {
    /// The file it was read from; `None` when it was given as text.
    pub path: Option<PathBuf>,
    /// PEM text.
    pub pem: Secret,
}

/// An entry of a list of trusted authorities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthorityBundle {
    /// What the operating system trusts.
    System,
    /// These certificates.
    Certificates(Certificate),
}

/// A path, or text: nothing that begins like a path is taken for base64.
pub(crate) fn looks_like_path(text: &str) -> bool {
    text.len() < 4096
        && ["/", "./", "../", "~"]
            .iter()
            .any(|start| text.starts_with(start))
}

fn read(text: &str, what: &str) -> Result<(Option<PathBuf>, String), Invalid> {
    if text.contains("-----BEGIN ") {
        return Ok((None, text.to_owned()));
    }
    let path = Path::new(text);
    let mend = format!(
        "give the path of a PEM file that holds the {what}, PEM text, or base64 of PEM text"
    );
    if path.exists() {
        let pem = std::fs::read_to_string(path).map_err(|error| {
            Invalid::new(format!("the {what} cannot be read: {error}"), mend.clone())
        })?;
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        return Ok((Some(path), pem));
    }
    let compact: String = text.split_ascii_whitespace().collect();
    let decoded = STANDARD
        .decode(compact)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    match decoded {
        Some(pem) if pem.contains("-----BEGIN ") => Ok((None, pem)),
        _ => Err(Invalid::new(
            format!("there is no such file, and it is not PEM text nor base64 of it: no {what}"),
            mend,
        )),
    }
}

impl Setting for Certificate {
    const KIND: Kind = Kind::Pem;

    fn parse(text: &str, _: Context<'_>) -> Result<Self, Invalid> {
        let (path, pem) = read(text, "certificate")?;
        let mut certificates = CertificateDer::pem_slice_iter(pem.as_bytes());
        if !matches!(certificates.next(), Some(Ok(_))) || certificates.any(|one| one.is_err()) {
            return Err(Invalid::new(
                "holds no well-formed PEM certificate",
                "the text must have a -----BEGIN CERTIFICATE----- block",
            ));
        }
        Ok(Self { path, pem })
    }
}

impl Setting for PrivateKey {
    const KIND: Kind = Kind::Pem;
    const SECRET: bool = true;

    fn parse(text: &str, _: Context<'_>) -> Result<Self, Invalid> {
        let (path, pem) = read(text, "key")?;
        if PrivateKeyDer::from_pem_slice(pem.as_bytes()).is_err() {
            return Err(Invalid::new(
                "holds no well-formed unencrypted PEM key",
                "the text must have a -----BEGIN PRIVATE KEY----- block (or RSA or EC), without a pass phrase",
            ));
        }
        let pem = Secret::new(pem);
        Ok(Self { path, pem })
    }
}

impl Setting for AuthorityBundle {
    const KIND: Kind = Kind::Pem;

    fn parse(text: &str, context: Context<'_>) -> Result<Self, Invalid> {
        if text == "system" {
            return Ok(Self::System);
        }
        Certificate::parse(text, context).map(Self::Certificates)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> Context<'static> {
        Context {
            prefix: Path::new("/prefix"),
        }
    }

    #[test]
    fn path_text_and_base64_mean_the_same() {
        let made = rcgen::generate_simple_self_signed(["kong_clustering".to_owned()]).unwrap();
        let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cluster.crt");
        std::fs::write(&path, &cert).unwrap();

        let by_path = Certificate::parse(path.to_str().unwrap(), context()).unwrap();
        assert_eq!(by_path.path.as_deref(), Some(path.as_path()));
        assert_eq!(by_path.pem, cert);
        assert_eq!(Certificate::parse(&cert, context()).unwrap().pem, cert);
        assert_eq!(
            Certificate::parse(&STANDARD.encode(&cert), context())
                .unwrap()
                .pem,
            cert
        );
        let by_text = PrivateKey::parse(&STANDARD.encode(&key), context()).unwrap();
        assert_eq!(by_text.pem.expose(), key);
        assert!(!format!("{by_text:?}").contains("PRIVATE"));
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        for bad in [
            "/nonexistent/cluster.crt",
            "aGVsbG8=",
            "-----BEGIN CERTIFICATE-----\nnope",
        ] {
            assert!(Certificate::parse(bad, context()).is_err(), "{bad}");
        }
        let key = rcgen::generate_simple_self_signed(["x".to_owned()]).unwrap();
        assert!(Certificate::parse(&key.signing_key.serialize_pem(), context()).is_err());
    }
}
