//! What clients are asked for a certificate by.

use std::sync::Arc;

use anyhow::Context;
use keelgate_settings::{Tls, VerifyClient};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

/// What the settings say; none when clients are not asked.
pub(crate) fn verifier(tls: &Tls) -> anyhow::Result<Option<Arc<dyn ClientCertVerifier>>> {
    let may_be_missing = match tls.nginx_http_ssl_verify_client {
        VerifyClient::Off => return Ok(None),
        VerifyClient::On => false,
        VerifyClient::Optional => true,
    };
    let mut roots = RootCertStore::empty();
    let authorities = tls.nginx_http_ssl_client_certificate.iter();
    for certificate in
        authorities.flat_map(|own| CertificateDer::pem_slice_iter(own.pem.as_bytes()))
    {
        let certificate = certificate.context("nginx_http_ssl_client_certificate is not PEM")?;
        roots
            .add(certificate)
            .context("nginx_http_ssl_client_certificate holds a certificate that cannot be used")?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match may_be_missing {
        true => builder.allow_unauthenticated(),
        false => builder,
    };
    let verifier = builder
        .build()
        .context("nginx_http_ssl_client_certificate")?;
    Ok(Some(verifier))
}
