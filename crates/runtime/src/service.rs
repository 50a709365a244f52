//! Services and what is needed to reach them.

use std::net::IpAddr;
use std::sync::Arc;

use keelgate_entities::Reference;
use keelgate_entities::kinds::{self, Protocol, Service};
use keelgate_plugins::Written;
use rustc_hash::FxHashMap;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::CertifiedKey;
use uuid::Uuid;

use crate::certificates::Certificates;
use crate::upstream_tls::{Ask, Profiles, TlsProfile};
use crate::{CompileError, Env, UpstreamEntry};

/// A service and what it needs to be reached.
#[derive(Debug)]
pub struct ServiceEntry {
    /// The service.
    pub service: Service,
    /// What `Host` says where nothing else decides.
    pub authority: String,
    /// How its host is found.
    pub origin: Origin,
    /// How TLS is spoken to it.
    pub tls: UpstreamTls,
    /// Where logs find it written out.
    pub written: Written,
}

/// How TLS is spoken to a service.
#[derive(Debug)]
pub enum UpstreamTls {
    /// It is reached in clear.
    Clear,
    /// In this way.
    Profile(Arc<TlsProfile>),
    /// A certificate that it names is missing or cannot be used: it cannot be called, and is not
    /// called in any weaker way.
    Unusable,
}

/// The name and, unless it is the usual one of the protocol, the port.
pub fn authority(protocol: Protocol, name: &str, port: u16) -> String {
    match (protocol.is_tls(), port) {
        (true, 443) | (false, 80) => name.to_owned(),
        _ => format!("{name}:{port}"),
    }
}

/// How the host of a service is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It is an address.
    Address(IpAddr),
    /// By name.
    Name,
    /// It names an upstream ([`crate::Runtime::upstream`]).
    Upstream(usize),
}

/// What services are compiled against.
pub(crate) struct Services<'a> {
    pub(crate) env: &'a Env,
    pub(crate) certificates: &'a Certificates,
    pub(crate) authorities: &'a FxHashMap<Uuid, CertificateDer<'static>>,
    pub(crate) upstreams: &'a [UpstreamEntry],
    pub(crate) previous: Option<&'a Profiles>,
}

impl Services<'_> {
    /// Services whose certificates cannot be used are among `flaws`, and stand for themselves:
    /// they must not keep the others from serving.
    pub(crate) fn compile(
        &self,
        services: Vec<Service>,
        profiles: &mut Profiles,
        flaws: &mut Vec<CompileError>,
    ) -> Vec<ServiceEntry> {
        let by_name: FxHashMap<String, usize> = self
            .upstreams
            .iter()
            .enumerate()
            .map(|(index, entry)| (entry.upstream.name.to_ascii_lowercase(), index))
            .collect();
        services
            .into_iter()
            .map(|service| {
                let host = service.host.trim_matches(['[', ']']);
                let origin = match host.parse() {
                    Ok(address) => Origin::Address(address),
                    Err(_) => by_name
                        .get(&host.to_ascii_lowercase())
                        .map_or(Origin::Name, |index| Origin::Upstream(*index)),
                };
                let tls = match self.tls(&service, origin, profiles) {
                    Ok(None) => UpstreamTls::Clear,
                    Ok(Some(profile)) => UpstreamTls::Profile(profile),
                    Err(flaw) => {
                        flaws.push(flaw);
                        UpstreamTls::Unusable
                    }
                };
                ServiceEntry {
                    authority: authority(service.protocol, &service.host, service.port),
                    service,
                    origin,
                    tls,
                    written: Written::default(),
                }
            })
            .collect()
    }

    fn tls(
        &self,
        service: &Service,
        origin: Origin,
        profiles: &mut Profiles,
    ) -> Result<Option<Arc<TlsProfile>>, CompileError> {
        if !service.protocol.is_tls() {
            return Ok(None);
        }
        let problem = |what, mend| CompileError {
            kind: "services",
            id: service.id,
            name: service.name.clone(),
            what,
            mend,
        };
        let of_upstream = match origin {
            Origin::Upstream(index) => self.upstreams[index].upstream.client_certificate,
            _ => None,
        };
        let client = self
            .client(service.client_certificate.or(of_upstream))
            .map_err(|what| problem(what, "mend the certificate, or take it off the service"))?;
        let authorities = service
            .ca_certificates
            .iter()
            .flatten()
            .map(|id| {
                self.authorities.get(id).cloned().ok_or_else(|| {
                    problem(
                        format!("its CA certificate {id} does not exist or cannot be used"),
                        "mend the CA certificate, or take it off the service",
                    )
                })
            })
            .collect::<Result<_, _>>()?;
        let ask = Ask {
            verify: service.tls_verify.unwrap_or(self.env.verify_upstreams),
            depth: service.tls_verify_depth,
            authorities,
            client: client.as_ref().map(|(id, key)| (*id, key.cert.clone())),
        };
        profiles
            .get(
                ask,
                client.map(|(_, key)| key),
                &self.env.trusted,
                self.previous,
            )
            .map(Some)
            .map_err(|what| problem(what, "mend the certificates that the service names"))
    }

    /// The certificate that is shown: the one named, or the node's.
    fn client(
        &self,
        certificate: Option<Reference>,
    ) -> Result<Option<(Uuid, Arc<CertifiedKey>)>, String> {
        let Some(id) = certificate else {
            let node = self.env.client_certificate.as_ref();
            return Ok(node.map(|key| (Uuid::nil(), Arc::clone(key))));
        };
        match self.certificates.by_id.get(&id.0) {
            Some(pair) => Ok(Some((id.0, Arc::clone(&pair.first)))),
            None => Err(format!(
                "its client certificate {} does not exist or cannot be used",
                id.0
            )),
        }
    }

    /// How probes of each upstream speak TLS.
    pub(crate) fn probes(
        &self,
        profiles: &mut Profiles,
        flaws: &mut Vec<CompileError>,
    ) -> Vec<UpstreamTls> {
        let entries = self.upstreams.iter();
        entries
            .map(|entry| match self.probe(&entry.upstream, profiles) {
                Ok(None) => UpstreamTls::Clear,
                Ok(Some(profile)) => UpstreamTls::Profile(profile),
                Err(what) => {
                    flaws.push(CompileError {
                        kind: "upstreams",
                        id: entry.upstream.id,
                        name: Some(entry.upstream.name.clone()),
                        what,
                        mend: "mend the certificate, or take it off the upstream",
                    });
                    UpstreamTls::Unusable
                }
            })
            .collect()
    }

    fn probe(
        &self,
        upstream: &kinds::Upstream,
        profiles: &mut Profiles,
    ) -> Result<Option<Arc<TlsProfile>>, String> {
        let active = &upstream.healthchecks.active;
        let asked = active.healthy.interval > 0.0 || active.unhealthy.interval > 0.0;
        if !asked || !matches!(active.r#type.as_deref(), Some("https" | "grpcs")) {
            return Ok(None);
        }
        let client = self.client(upstream.client_certificate)?;
        let ask = Ask {
            verify: active.https_verify_certificate.unwrap_or(true),
            depth: None,
            authorities: Vec::new(),
            client: client.as_ref().map(|(id, key)| (*id, key.cert.clone())),
        };
        let key = client.map(|(_, key)| key);
        profiles
            .get(ask, key, &self.env.trusted, self.previous)
            .map(Some)
    }
}

/// Trusted authorities by their ids, without those that cannot be read.
pub(crate) fn read_authorities(
    certificates: &[kinds::CaCertificate],
    flaws: &mut Vec<CompileError>,
) -> FxHashMap<Uuid, CertificateDer<'static>> {
    certificates
        .iter()
        .filter_map(
            |authority| match CertificateDer::from_pem_slice(authority.cert.as_bytes()) {
                Ok(der) => Some((authority.id, der)),
                Err(error) => {
                    flaws.push(CompileError {
                        kind: "ca_certificates",
                        id: authority.id,
                        name: None,
                        what: format!("the certificate cannot be read: {error}"),
                        mend: "replace it by one certificate in PEM",
                    });
                    None
                }
            },
        )
        .collect()
}
