//! Which certificate answers for a TLS server name.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use keelgate_entities::kinds;
use rustc_hash::FxHashMap;
use rustls::SignatureScheme;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use uuid::Uuid;

use crate::CompileError;
use crate::secrets::References;

/// A certificate, and a second one of another key type for clients that cannot use the first.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) first: Arc<CertifiedKey>,
    second: Option<Arc<CertifiedKey>>,
    /// What it was made from, keys included, to know it again in the next snapshot.
    pem: Arc<str>,
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair").finish_non_exhaustive()
    }
}

/// Certificates by server name.
#[derive(Debug)]
pub struct Certificates {
    pub(crate) by_id: FxHashMap<Uuid, Pair>,
    /// Names come from clients, hence a keyed hasher.
    exact: HashMap<String, Pair>,
    /// `*.example.com`, filed as `.example.com`.
    suffixes: HashMap<String, Pair>,
    /// `example.*`, filed as `example.`.
    prefixes: HashMap<String, Pair>,
    /// `*`.
    any: Option<Pair>,
    default: Arc<CertifiedKey>,
}

impl Certificates {
    /// Certificates that cannot be used are among `flaws`; their names are answered as if they had
    /// none.
    pub(crate) fn compile(
        certificates: &[kinds::Certificate],
        references: References<'_>,
        snis: &[kinds::Sni],
        default: Arc<CertifiedKey>,
        previous: Option<&Self>,
        flaws: &mut Vec<CompileError>,
    ) -> Result<Self, CompileError> {
        let mut by_id = FxHashMap::default();
        let mut unusable = HashSet::new();
        for certificate in certificates {
            let known = previous.and_then(|previous| previous.by_id.get(&certificate.id));
            match Pair::of(certificate, references, known) {
                Ok(pair) => {
                    by_id.insert(certificate.id, pair);
                }
                Err(flaw) => {
                    unusable.insert(certificate.id);
                    flaws.push(flaw);
                }
            }
        }
        let mut table = Self {
            by_id,
            exact: HashMap::new(),
            suffixes: HashMap::new(),
            prefixes: HashMap::new(),
            any: None,
            default,
        };
        for sni in snis {
            if unusable.contains(&sni.certificate.0) {
                continue;
            }
            let Some(pair) = table.by_id.get(&sni.certificate.0).cloned() else {
                return Err(CompileError {
                    kind: "snis",
                    id: sni.id,
                    name: Some(sni.name.clone()),
                    what: format!("its certificate {} does not exist", sni.certificate.0),
                    mend: "create the certificate, or delete the SNI",
                });
            };
            let name = sni.name.to_ascii_lowercase();
            if name == "*" {
                table.any = Some(pair);
            } else if let Some(suffix) = name.strip_prefix('*') {
                table.suffixes.insert(suffix.to_owned(), pair);
            } else if let Some(prefix) = name.strip_suffix('*') {
                table.prefixes.insert(prefix.to_owned(), pair);
            } else {
                table.exact.insert(name, pair);
            }
        }
        Ok(table)
    }

    /// The certificate for a connection: by its server name (in lower case), with a key that
    /// signs in a way the client understands; the node's default when no name fits.
    pub fn resolve(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Arc<CertifiedKey> {
        self.named(name, schemes)
            .unwrap_or_else(|| self.default_certificate())
    }

    /// The node's default certificate.
    pub fn default_certificate(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.default)
    }

    /// The certificate for a connection, as [`Self::resolve`]; none when no name fits.
    pub fn named(
        &self,
        name: Option<&str>,
        schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        let pair = name.and_then(|name| {
            self.exact
                .get(name)
                .or_else(|| self.suffixes.get(&name[name.find('.')?..]))
                .or_else(|| self.prefixes.get(&name[..=name.rfind('.')?]))
        });
        pair.or(self.any.as_ref()).map(|pair| pair.usable(schemes))
    }
}

impl Pair {
    fn of(
        certificate: &kinds::Certificate,
        references: References<'_>,
        known: Option<&Self>,
    ) -> Result<Self, CompileError> {
        let problem = |what, mend| CompileError {
            kind: "certificates",
            id: certificate.id,
            name: None,
            what,
            mend,
        };
        let resolved = |field: &str, text: Option<&str>| {
            let mend = "set what it refers to on this node";
            let resolved = text.map(|text| references.resolved(text)).transpose();
            resolved.map_err(|what| problem(format!("{field}: {what}"), mend))
        };
        let texts = [
            resolved("cert", Some(&certificate.cert))?,
            resolved("key", Some(&certificate.key))?,
            resolved("cert_alt", certificate.cert_alt.as_deref())?,
            resolved("key_alt", certificate.key_alt.as_deref())?,
        ];
        let [cert, key, cert_alt, key_alt] = texts.each_ref().map(Option::as_deref);
        let pem = [cert, key, cert_alt, key_alt]
            .map(Option::unwrap_or_default)
            .join("\n");
        if let Some(known) = known.filter(|known| *known.pem == pem) {
            return Ok(known.clone());
        }
        let unusable = |what| {
            problem(
                what,
                "replace the certificate and its key by a matching pair in PEM",
            )
        };
        let second = match (cert_alt, key_alt) {
            (Some(cert), Some(key)) => Some(Arc::new(certified_key(cert, key).map_err(unusable)?)),
            _ => None,
        };
        let first = certified_key(cert.unwrap_or_default(), key.unwrap_or_default());
        let first = first.map_err(unusable)?;
        Ok(Self {
            first: Arc::new(first),
            second,
            pem: pem.into(),
        })
    }

    fn usable(&self, schemes: &[SignatureScheme]) -> Arc<CertifiedKey> {
        match &self.second {
            Some(second) if self.first.key.choose_scheme(schemes).is_none() => Arc::clone(second),
            _ => Arc::clone(&self.first),
        }
    }
}

/// A certificate chain and its key, ready to sign.
///
/// # Errors
/// What is wrong with them, in one line; never contains key material.
pub fn certified_key(cert_pem: &str, key_pem: &str) -> Result<CertifiedKey, String> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(cert_pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| format!("the certificate cannot be read: {error}"))?;
    if chain.is_empty() {
        return Err("it holds no certificate".to_owned());
    }
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes())
        .map_err(|_| "the private key cannot be read".to_owned())?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    CertifiedKey::from_der(chain, key, &provider)
        .map_err(|error| format!("certificate and key do not fit: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem(name: &str) -> (String, String) {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    fn default() -> Arc<CertifiedKey> {
        let (cert, key) = pem("default");
        Arc::new(certified_key(&cert, &key).unwrap())
    }

    fn certificate(id: u128) -> kinds::Certificate {
        let (cert, key) = pem("c");
        kinds::Certificate {
            id: Uuid::from_u128(id),
            cert,
            key,
            cert_alt: None,
            key_alt: None,
            tags: None,
        }
    }

    const NONE: References<'_> = References::NONE;

    fn sni(name: &str, id: u128) -> kinds::Sni {
        kinds::Sni {
            id: Uuid::from_u128(99),
            name: name.to_owned(),
            certificate: keelgate_entities::Reference(Uuid::from_u128(id)),
            tags: None,
        }
    }

    fn compile(
        certificates: &[kinds::Certificate],
        snis: &[kinds::Sni],
        default: Arc<CertifiedKey>,
        previous: Option<&Certificates>,
    ) -> Certificates {
        let mut flaws = Vec::new();
        let table =
            Certificates::compile(certificates, NONE, snis, default, previous, &mut flaws).unwrap();
        assert!(flaws.is_empty(), "{flaws:?}");
        table
    }

    #[test]
    fn names_select_exact_then_left_then_right_wildcards() {
        let certificates: Vec<_> = (0..4).map(certificate).collect();
        let snis = [
            sni("a.test", 0),
            sni("*.test", 1),
            sni("a.*", 2),
            sni("*.b.test", 3),
        ];
        let default = default();
        let table = compile(&certificates, &snis, Arc::clone(&default), None);
        let of = |name: &str| table.resolve(Some(name), &[]);
        let expect = |name: &str, id: u128| {
            assert!(
                Arc::ptr_eq(&of(name), &table.by_id[&Uuid::from_u128(id)].first),
                "{name}"
            );
        };
        expect("a.test", 0);
        expect("x.test", 1);
        expect("a.other", 2);
        expect("x.b.test", 3);
        assert!(Arc::ptr_eq(&of("nowhere.example"), &default));
        assert!(Arc::ptr_eq(&of("nodots"), &default));
        assert!(Arc::ptr_eq(&table.resolve(None, &[]), &default));
    }

    #[test]
    fn an_unchanged_certificate_is_not_read_again() {
        let certificates = [certificate(0)];
        let default = default();
        let first = compile(&certificates, &[], Arc::clone(&default), None);
        let second = compile(&certificates, &[], default, Some(&first));
        let id = Uuid::from_u128(0);
        assert!(Arc::ptr_eq(
            &first.by_id[&id].first,
            &second.by_id[&id].first
        ));
    }

    #[test]
    fn a_broken_certificate_names_itself_and_keeps_its_secret() {
        let mut broken = certificate(7);
        broken.key = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n".into();
        let good = certificate(8);
        let key = good.key.clone();
        let snis = [sni("broken.test", 7), sni("good.test", 8)];
        let default = default();
        let mut flaws = Vec::new();
        let table = Certificates::compile(
            &[broken, good],
            NONE,
            &snis,
            Arc::clone(&default),
            None,
            &mut flaws,
        )
        .unwrap();
        let [flaw] = &flaws[..] else {
            panic!("{flaws:?}");
        };
        assert_eq!((flaw.kind, flaw.id), ("certificates", Uuid::from_u128(7)));
        assert!(!flaw.to_string().contains("c2VjcmV0"));
        assert!(Arc::ptr_eq(
            &table.resolve(Some("broken.test"), &[]),
            &default
        ));
        assert!(!Arc::ptr_eq(
            &table.resolve(Some("good.test"), &[]),
            &default
        ));
        let shown = format!("{table:?}");
        let line = key.lines().nth(1).unwrap();
        assert!(!shown.contains("PRIVATE") && !shown.contains(line));
    }
}
