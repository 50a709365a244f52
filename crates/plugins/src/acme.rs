//! `acme`: certificates from a certificate authority that speaks ACME (RFC 8555), by the challenge
//! HTTP-01.
//!
//! | module | its one reason |
//! |---|---|
//! | `config` | the settings |
//! | `handler` | the plugin: which certificate is served, and answers to challenges |
//! | `chains` | which of the chains that the authority offers is served |
//! | `chosen` | which storage the settings choose |
//! | `domains` | the names that there may be certificates for |
//! | `storage` | where certificates, accounts and challenges are kept |
//! | `issuer` | how certificates are got and renewed, by one node at a time |
//! | `order` | the conversation with the authority |
//! | `control` | what the Admin API does with certificates |
//! | `transport` | HTTP towards the authority |
//! | `certificate` | a certificate and its key |
//! | `served` | what this node has at hand |

pub(crate) mod certificate;
mod chains;
mod chosen;
pub(crate) mod config;
mod control;
mod domains;
pub(crate) mod handler;
pub(crate) mod issuer;
mod order;
pub(crate) mod served;
pub(crate) mod storage;
#[cfg(test)]
mod tests;
mod transport;

use std::sync::{Arc, Mutex, PoisonError, Weak};

pub use control::Certificates;
use issuer::Issuer;
use served::Served;
use storage::Memory;

/// What the plugin keeps on the node.
#[derive(Debug, Default)]
pub(crate) struct Acme {
    /// The storage `shm`.
    memory: Arc<Memory>,
    served: Arc<Served>,
    /// Of all configurations that are in use; the newest last.
    issuers: Mutex<Vec<Weak<Issuer>>>,
}

impl Acme {
    fn add(&self, issuer: &Arc<Issuer>) {
        let mut issuers = self.issuers.lock().unwrap_or_else(PoisonError::into_inner);
        issuers.retain(|issuer| issuer.strong_count() > 0);
        issuers.push(Arc::downgrade(issuer));
    }

    /// The issuer of the newest configuration.
    pub(crate) fn issuer(&self) -> Option<Arc<Issuer>> {
        let issuers = self.issuers.lock().unwrap_or_else(PoisonError::into_inner);
        issuers.iter().rev().find_map(Weak::upgrade)
    }
}
