//! Which of the chains that the authority offers is served.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::header::{HeaderMap, LINK};
use instant_acme::Account;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use url::Url;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::certificate::common_name;

/// What the authority calls a chain.
pub(super) const CHAIN: &str = "application/pem-certificate-chain";

/// Chains that are looked at.
const LOOKED_AT: usize = 8;

/// The chain that is wanted, by the common name of whoever has issued its last certificate; and those that the
/// authority has just sent. The client of the authority knows only one, and hands on none of the others.
pub(super) struct Chains {
    wanted: String,
    sent: Mutex<HashMap<Url, Sent>>,
}

/// A chain, and where there are others for the same certificate.
struct Sent {
    pem: String,
    others: Vec<Url>,
}

impl Chains {
    pub(super) fn new(wanted: String) -> Self {
        Self {
            wanted,
            sent: Mutex::default(),
        }
    }

    fn sent(&self) -> MutexGuard<'_, HashMap<Url, Sent>> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a chain that was sent for this address.
    pub(super) fn see(&self, url: &str, headers: &HeaderMap, body: &[u8]) {
        let (Ok(url), Ok(pem)) = (Url::parse(url), str::from_utf8(body)) else {
            return;
        };
        let sent = Sent {
            pem: pem.to_owned(),
            others: others(&url, headers),
        };
        self.sent().insert(url, sent);
    }

    fn take(&self, url: &Url) -> Option<Sent> {
        self.sent().remove(url)
    }

    /// The chain that is wanted, if it is among those that the authority offers in place of this one; else this one.
    pub(super) async fn choose(
        &self,
        account: &Account,
        url: Option<&str>,
        first: String,
    ) -> String {
        let others = url.and_then(|url| self.take(&Url::parse(url).ok()?));
        if self.is_wanted(&first) {
            return first;
        }
        for other in others.map(|sent| sent.others).unwrap_or_default() {
            // Asked for like an order, it is signed like one; as a chain it is no order, which is no matter.
            let _ = account.order(other.to_string()).await;
            if let Some(sent) = self.take(&other)
                && self.is_wanted(&sent.pem)
            {
                return sent.pem;
            }
        }
        tracing::warn!(
            wanted = self.wanted,
            "the authority offers no chain of the preferred issuer; its first one is served"
        );
        first
    }

    fn is_wanted(&self, pem: &str) -> bool {
        let last = CertificateDer::pem_slice_iter(pem.as_bytes())
            .filter_map(Result::ok)
            .last();
        last.is_some_and(|last| {
            X509Certificate::from_der(&last)
                .is_ok_and(|(_, last)| common_name(last.issuer()).as_ref() == Some(&self.wanted))
        })
    }
}

/// Where there are other chains: the links of the relation `alternate`.
fn others(url: &Url, headers: &HeaderMap) -> Vec<Url> {
    let links = headers
        .get_all(LINK)
        .iter()
        .filter_map(|link| link.to_str().ok());
    let links = links.flat_map(|links| links.split(",").map(str::trim));
    let others = links.filter_map(|link| {
        let (target, parameters) = link.strip_prefix('<')?.split_once('>')?;
        let is_other = parameters.split(';').any(|parameter| {
            parameter.split_once('=').is_some_and(|(name, value)| {
                name.trim().eq_ignore_ascii_case("rel")
                    && value.trim().trim_matches('"') == "alternate"
            })
        });
        url.join(target).ok().filter(|_| is_other)
    });
    others.take(LOOKED_AT).collect()
}

#[cfg(test)]
mod tests {
    use http::header::HeaderValue;

    use super::*;

    #[test]
    fn other_chains_are_found_by_their_links() {
        let mut headers = HeaderMap::new();
        headers.append(
            LINK,
            HeaderValue::from_static("<https://a.test/dir>;rel=\"index\""),
        );
        headers.append(
            LINK,
            HeaderValue::from_static(
                "</chain/1>; rel=\"alternate\", <https://b.test/2>;title=x; REL=alternate",
            ),
        );
        headers.append(LINK, HeaderValue::from_static("no link; rel=alternate"));
        let url = Url::parse("https://a.test/chain/0").unwrap();
        let found = others(&url, &headers);
        let expected = ["https://a.test/chain/1", "https://b.test/2"];
        assert_eq!(found.iter().map(Url::as_str).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_chain_is_known_by_who_has_issued_its_end() {
        let made = rcgen::generate_simple_self_signed(vec!["a.test".to_owned()]).unwrap();
        // What rcgen calls whom it makes up.
        assert!(Chains::new("rcgen self signed cert".to_owned()).is_wanted(&made.cert.pem()));
        assert!(!Chains::new("another".to_owned()).is_wanted(&made.cert.pem()));
        assert!(!Chains::new("another".to_owned()).is_wanted(""));
    }
}
