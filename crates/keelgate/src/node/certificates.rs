//! Certificates of the listeners, and whom the proxy trusts.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keelgate_settings::{AuthorityBundle, Certificate, PrivateKey, Settings, TlsVersion};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ResolvesServerCert;
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

/// The certificate of a listener: the first that is set, else one that the node makes and keeps
/// under its prefix.
pub(crate) fn listener(
    prefix: &Path,
    name: &str,
    certificates: &[Certificate],
    keys: &[PrivateKey],
) -> anyhow::Result<Arc<CertifiedKey>> {
    if let (Some(certificate), Some(key)) = (certificates.first(), keys.first()) {
        return certified(certificate.pem.as_bytes(), key.pem.expose().as_bytes())
            .with_context(|| format!("the certificate of the {name} listener cannot be used"));
    }
    let (certificate, key) = made(prefix, name)?;
    certified(&certificate, &key).with_context(|| {
        format!(
            "the {name} certificate that this node made under {} cannot be used; remove it",
            prefix.display()
        )
    })
}

/// A certificate with its key, as TLS uses it.
pub(crate) fn certified(certificate: &[u8], key: &[u8]) -> anyhow::Result<Arc<CertifiedKey>> {
    let chain = CertificateDer::pem_slice_iter(certificate)
        .collect::<Result<Vec<_>, _>>()
        .context("the certificate is not PEM")?;
    ensure!(!chain.is_empty(), "there is no certificate in the PEM text");
    let key = PrivateKeyDer::from_pem_slice(key).context("the key is not PEM")?;
    let certified = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
        .context("certificate and key do not fit")?;
    Ok(Arc::new(certified))
}

/// Reads the self-signed certificate that an earlier start has made, or makes it.
fn made(prefix: &Path, name: &str) -> anyhow::Result<(Vec<u8>, Vec<u8>)> {
    let directory = prefix.join("ssl");
    let (cert_path, key_path) = (
        directory.join(format!("{name}-default.crt")),
        directory.join(format!("{name}-default.key")),
    );
    if let (Ok(certificate), Ok(key)) = (fs::read(&cert_path), fs::read(&key_path)) {
        return Ok((certificate, key));
    }
    fs::create_dir_all(&directory)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])
        .context("cannot make a self-signed certificate")?;
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    fs::write(&cert_path, &certificate)
        .with_context(|| format!("cannot write {}", cert_path.display()))?;
    fs::OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(&key_path)
        .and_then(|mut file| file.write_all(key.as_bytes()))
        .with_context(|| format!("cannot write {}", key_path.display()))?;
    Ok((certificate.into_bytes(), key.into_bytes()))
}

/// The authorities of `lua_ssl_trusted_certificate`.
pub(crate) fn trusted(settings: &Settings) -> anyhow::Result<Arc<RootCertStore>> {
    let mut roots = RootCertStore::empty();
    for bundle in &settings.tls.lua_ssl_trusted_certificate {
        match bundle {
            AuthorityBundle::System => {
                let found = rustls_native_certs::load_native_certs();
                for error in &found.errors {
                    tracing::warn!("a trusted certificate of this system cannot be read: {error}");
                }
                roots.add_parsable_certificates(found.certs);
            }
            AuthorityBundle::Certificates(bundle) => {
                for certificate in CertificateDer::pem_slice_iter(bundle.pem.as_bytes()) {
                    let certificate =
                        certificate.context("lua_ssl_trusted_certificate is not PEM")?;
                    roots.add(certificate).context(
                        "lua_ssl_trusted_certificate holds a certificate that cannot be used",
                    )?;
                }
            }
        }
    }
    Ok(Arc::new(roots))
}

/// The authorities of `lua_ssl_trusted_certificate` but those of the system, in PEM.
pub(crate) fn trusted_bundles(settings: &Settings) -> impl Iterator<Item = &str> {
    let bundles = &settings.tls.lua_ssl_trusted_certificate;
    bundles.iter().filter_map(|bundle| match bundle {
        AuthorityBundle::System => None,
        AuthorityBundle::Certificates(certificates) => Some(certificates.pem.as_str()),
    })
}

/// All authorities of `lua_ssl_trusted_certificate`, in PEM. Those of the system that cannot be
/// used are left out.
pub(crate) fn trusted_pem(settings: &Settings) -> String {
    let mut pem = String::new();
    let bundles = &settings.tls.lua_ssl_trusted_certificate;
    if bundles.contains(&AuthorityBundle::System) {
        for certificate in rustls_native_certs::load_native_certs().certs {
            if RootCertStore::empty().add(certificate.clone()).is_ok() {
                pem.push_str(BEGIN);
                pem.push_str(&STANDARD.encode(&certificate));
                pem.push_str(END);
            }
        }
    }
    for bundle in trusted_bundles(settings) {
        pem.push_str(bundle);
        pem.push('\n');
    }
    pem
}

const BEGIN: &str = "-----BEGIN CERTIFICATE-----\n";
const END: &str = "\n-----END CERTIFICATE-----\n";

/// TLS of an API listener with one certificate.
pub(crate) fn server(
    settings: &Settings,
    certificate: Arc<CertifiedKey>,
) -> anyhow::Result<Arc<ServerConfig>> {
    #[derive(Debug)]
    struct One(Arc<CertifiedKey>);
    impl ResolvesServerCert for One {
        fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
            Some(Arc::clone(&self.0))
        }
    }
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&versions(settings))
        .context("ssl_protocols names no version that can be spoken")?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(One(certificate)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The TLS versions of the settings, as rustls names them.
pub(crate) fn versions(settings: &Settings) -> Vec<&'static SupportedProtocolVersion> {
    let versions = settings.tls.versions();
    versions
        .into_iter()
        .filter_map(|version| match version {
            TlsVersion::V1_2 => Some(&rustls::version::TLS12),
            TlsVersion::V1_3 => Some(&rustls::version::TLS13),
            _ => None,
        })
        .collect()
}
