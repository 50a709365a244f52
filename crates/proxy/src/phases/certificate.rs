//! `certificate`: which certificate answers a TLS connection. Runs once per connection, before
//! there is a request.

use std::fmt;
use std::sync::Arc;

use keelgate_runtime::{Runtime, Shared};
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, ServerSessionMemoryCache,
};
use rustls::sign::CertifiedKey;

use crate::settings::{Resumption, Tls};

/// Answers with the certificates of the runtime that serves at the moment.
struct BySni {
    shared: Arc<Shared>,
    /// For names that the runtime has none for, the most wanted first.
    defaults: Vec<Arc<CertifiedKey>>,
}

impl ResolvesServerCert for BySni {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let runtime = self.shared.load();
        let schemes = hello.signature_schemes();
        let certificates = runtime.certificates();
        if let Some(named) = certificates.named(hello.server_name(), schemes) {
            return Some(named);
        }
        if let Some(name) = hello.server_name()
            && let Some(got) = of_plugins(&runtime, name)
        {
            return Some(got);
        }
        let usable = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(schemes).is_some();
        let own = self.defaults.iter().find(usable).or(self.defaults.first());
        Some(own.map_or_else(|| certificates.default_certificate(), Arc::clone))
    }
}

/// What a global plugin has for a name that the configuration has no certificate for.
fn of_plugins(runtime: &Runtime, name: &str) -> Option<Arc<CertifiedKey>> {
    let links = runtime.unrouted().links().iter();
    let plugins = links.filter_map(|link| link.resolve(None));
    let mut asked = plugins.filter(|plugin| plugin.phases().certificate);
    asked.find_map(|plugin| plugin.certificate(name))
}

impl fmt::Debug for BySni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BySni")
    }
}

/// How TLS is spoken to clients of HTTP: on listeners without HTTP/2, and on those with it.
///
/// # Errors
/// When versions and ciphers leave nothing to speak.
pub(crate) fn server_configs(
    tls: &Tls,
    shared: &Arc<Shared>,
) -> Result<[Arc<ServerConfig>; 2], rustls::Error> {
    let mut config = config(tls, shared, tls.client_verifier.clone())?;
    let http1 = {
        let mut config = config.clone();
        config.alpn_protocols.push(b"http/1.1".to_vec());
        config
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok([http1, config].map(Arc::new))
}

/// How TLS is spoken to clients of streams: what they speak inside is not asked, nor for a
/// certificate.
///
/// # Errors
/// As [`server_configs`].
pub(crate) fn stream_config(
    tls: &Tls,
    shared: &Arc<Shared>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    config(tls, shared, None).map(Arc::new)
}

fn config(
    tls: &Tls,
    shared: &Arc<Shared>,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
) -> Result<ServerConfig, rustls::Error> {
    let mut provider = aws_lc_rs::default_provider();
    if !tls.ciphers.is_empty() {
        provider.cipher_suites.clone_from(&tls.ciphers);
    }
    let builder = ServerConfig::builder_with_provider(Arc::<CryptoProvider>::new(provider));
    let builder = match tls.versions.as_slice() {
        [] => builder.with_safe_default_protocol_versions()?,
        versions => builder.with_protocol_versions(versions)?,
    };
    let asks = verifier.is_some();
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(BySni {
        shared: Arc::clone(shared),
        defaults: tls.certificates.clone(),
    }));
    config.ignore_client_order = tls.own_order;
    match &tls.resumption {
        _ if asks => config.session_storage = Arc::new(NoServerSessionStorage {}),
        Resumption::Tickets(ticketer) => config.ticketer = Arc::clone(ticketer),
        Resumption::Memory(sessions) => {
            config.session_storage = ServerSessionMemoryCache::new(*sessions);
        }
    }
    Ok(config)
}
