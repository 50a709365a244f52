//! The other end of a connection, and who speaks from there.

use std::net::{IpAddr, SocketAddr};

use keelgate_entities::Object;
use rustls::pki_types::CertificateDer;
use serde_json::json;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The other end of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    address: IpAddr,
    /// The name in the certificate that it showed.
    certificate: Option<String>,
}

impl Peer {
    pub(crate) fn new(address: SocketAddr, chain: Option<&[CertificateDer<'_>]>) -> Self {
        let leaf = chain.and_then(<[_]>::first);
        Self {
            address: address.ip().to_canonical(),
            certificate: leaf.and_then(name_in),
        }
    }
}

/// The common name of a certificate, or else its whole subject.
fn name_in(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let subject = certificate.subject();
    let common = subject.iter_common_name().next();
    let common = common.and_then(|name| name.as_str().ok().map(str::to_owned));
    common.or_else(|| Some(subject.to_string()).filter(|text| !text.is_empty()))
}

/// Who sends a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Caller {
    /// The name of the credential that was shown.
    credential: Option<String>,
    peer: Option<Peer>,
}

impl Caller {
    pub(crate) fn new(credential: Option<&str>, peer: Option<Peer>) -> Self {
        Self {
            credential: credential.map(str::to_owned),
            peer,
        }
    }

    /// What the audit log says of the author of a change. `request` must hold no secret.
    pub(crate) fn about(&self, request: &str) -> Object {
        let certificate = self
            .peer
            .as_ref()
            .and_then(|peer| peer.certificate.as_ref());
        let address = self.peer.as_ref().map(|peer| peer.address);
        Object::from_iter([
            (
                "by".to_owned(),
                json!(self.credential.as_ref().or(certificate)),
            ),
            ("address".to_owned(), json!(address)),
            ("request".to_owned(), json!(request)),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(common_name: &str) -> CertificateDer<'static> {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        if !common_name.is_empty() {
            let name = rcgen::DnType::CommonName;
            params.distinguished_name.push(name, common_name);
        }
        let key = rcgen::KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().clone()
    }

    #[test]
    fn a_credential_names_its_holder_before_a_certificate_does() {
        let chain = [certificate("deploy-bot")];
        let peer = Peer::new("[::ffff:10.0.0.7]:4000".parse().unwrap(), Some(&chain));
        let about = Caller::new(None, Some(peer.clone())).about("POST /services");
        assert_eq!(about["by"], "deploy-bot");
        assert_eq!(about["address"], "10.0.0.7");
        let about = Caller::new(Some("ops"), Some(peer)).about("POST /services");
        assert_eq!(about["by"], "ops");
    }

    #[test]
    fn nobody_is_known_without_either() {
        let chain = [certificate("")];
        let peer = Peer::new("127.0.0.1:4000".parse().unwrap(), Some(&chain));
        let about = Caller::new(None, Some(peer)).about("POST /services");
        assert_eq!(about["by"], serde_json::Value::Null);
    }
}
