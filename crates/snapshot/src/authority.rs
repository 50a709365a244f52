//! Who of those that an authority has given certificates may sign snapshots.

use std::time::Duration;

use rustls_pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage};

use crate::{KeyError, StatementError, key};

/// Names of those who may sign snapshots, as their certificates carry them (DNS names, wildcards
/// in the certificate included, or addresses). At least one is needed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Signatories<'a> {
    /// Control planes: their certificates must be good for servers.
    pub control_planes: &'a [String],
    /// The certificate of a node that is itself a control plane, in PEM: servers in one of its DNS
    /// names are control planes too.
    pub own: Option<&'a str>,
    /// Others that are trusted by name, such as backup nodes below a control plane of Kong: their
    /// certificates may be those of clients.
    pub others: &'a [String],
}

/// An authority and the names that count.
pub(crate) struct Authority {
    anchors: Vec<TrustAnchor<'static>>,
    control_planes: Vec<ServerName<'static>>,
    own: Option<CertificateDer<'static>>,
    others: Vec<ServerName<'static>>,
}

impl Authority {
    pub(crate) fn new(ca_pem: &str, signatories: &Signatories<'_>) -> Result<Self, KeyError> {
        let anchors = key::certificates(ca_pem)?
            .iter()
            .map(|certificate| {
                webpki::anchor_from_trusted_cert(certificate)
                    .map(|anchor| anchor.to_owned())
                    .map_err(|error| KeyError::Certificate(error.to_string()))
            })
            .collect::<Result<_, _>>()?;
        let own = signatories.own.map(key::certificates).transpose()?;
        let authority = Self {
            anchors,
            control_planes: names(signatories.control_planes)?,
            own: own.and_then(|own| own.into_iter().next()),
            others: names(signatories.others)?,
        };
        if authority.control_planes.is_empty()
            && authority.own.is_none()
            && authority.others.is_empty()
        {
            return Err(KeyError::NoSignatory);
        }
        Ok(authority)
    }

    /// The signer's own certificate, if the chain led to the authority at a time since 1970 and the
    /// certificate is in one of the names.
    pub(crate) fn believe<'a, 'b>(
        &self,
        chain: &'b [CertificateDer<'a>],
        at: Duration,
    ) -> Result<&'b CertificateDer<'a>, StatementError> {
        let (own, intermediates) = chain.split_first().ok_or(StatementError::NoChain)?;
        let certificate = EndEntityCert::try_from(own).map_err(untrusted)?;
        let trust = |usage| {
            certificate
                .verify_for_usage(
                    ALL_VERIFICATION_ALGS,
                    &self.anchors,
                    intermediates,
                    UnixTime::since_unix_epoch(at),
                    usage,
                    None,
                    None,
                )
                .map_err(untrusted)
        };
        let is_in = |names: &[ServerName<'_>]| {
            names
                .iter()
                .any(|name| certificate.verify_is_valid_for_subject_name(name).is_ok())
        };
        let is_alike = || {
            self.own.as_ref().is_some_and(|alike| {
                alike.as_ref() == own.as_ref() || share_a_name(alike, &certificate)
            })
        };
        // A control plane is a server to its data planes: where an authority tells servers from
        // clients, a client does not sign, unless it is trusted by its own name.
        match trust(KeyUsage::server_auth()) {
            Ok(_) if is_in(&self.control_planes) || is_alike() || is_in(&self.others) => Ok(own),
            Ok(_) => Err(self.stranger(&certificate)),
            Err(error) if self.others.is_empty() => Err(error),
            Err(_) => {
                trust(KeyUsage::client_auth())?;
                match is_in(&self.others) {
                    true => Ok(own),
                    false => Err(self.stranger(&certificate)),
                }
            }
        }
    }

    /// Says whose certificate it is, and whose it had to be.
    fn stranger(&self, certificate: &EndEntityCert<'_>) -> StatementError {
        const SHOWN: usize = 4;
        let alike = self
            .own
            .as_ref()
            .and_then(|own| EndEntityCert::try_from(own).ok());
        let names = self.control_planes.iter().chain(&self.others);
        StatementError::Stranger {
            found: dns_names(certificate).take(SHOWN).collect(),
            expected: names
                .map(|name| name.to_str().into_owned())
                .chain(alike.iter().flat_map(dns_names))
                .take(SHOWN)
                .collect(),
        }
    }
}

fn dns_names(certificate: &EndEntityCert<'_>) -> impl Iterator<Item = String> {
    certificate.valid_dns_names().map(str::to_ascii_lowercase)
}

/// Whether two certificates are in one name.
fn share_a_name(one: &CertificateDer<'_>, other: &EndEntityCert<'_>) -> bool {
    EndEntityCert::try_from(one)
        .is_ok_and(|one| dns_names(&one).any(|name| dns_names(other).any(|own| own == name)))
}

fn names(names: &[String]) -> Result<Vec<ServerName<'static>>, KeyError> {
    names
        .iter()
        .map(|name| {
            ServerName::try_from(name.clone()).map_err(|_| KeyError::Name { name: name.clone() })
        })
        .collect()
}

fn untrusted(error: webpki::Error) -> StatementError {
    StatementError::Untrusted(error.to_string())
}
