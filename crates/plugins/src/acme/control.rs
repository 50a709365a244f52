//! What others than requests may do with the certificates of `acme`.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::oneshot;

use super::issuer::{IssueError, Issuer};
use crate::logging::delivery::Delivery;

/// The certificates that the `acme` of a node gets. Errors are told in text for operators.
#[derive(Clone, Debug)]
pub struct Certificates {
    issuer: Arc<Issuer>,
    delivery: Arc<Delivery>,
}

impl Certificates {
    pub(crate) fn of(issuer: Arc<Issuer>, delivery: &Arc<Delivery>) -> Self {
        let delivery = Arc::clone(delivery);
        Self { issuer, delivery }
    }

    /// Gets a certificate for a name, unless a node is about to. It is got even if nobody waits for
    /// the answer any more.
    ///
    /// # Errors
    /// Why there is none: `fail_backoff_minutes` are not over, the authority refuses, the storage
    /// cannot be reached.
    pub async fn issue(&self, name: &str) -> Result<(), String> {
        let (tell, told) = oneshot::channel();
        let (issuer, name) = (Arc::clone(&self.issuer), name.to_ascii_lowercase());
        let issuing = async move {
            // Whoever asked may have gone.
            let _ = tell.send(issuer.issue(&name, None).await);
        };
        let begun = self.delivery.spawn_until_end(issuing);
        begun.map_err(|error| error.to_string())?;
        match told.await {
            Ok(issued) => issued.map(drop).map_err(said),
            Err(_) => Err("the node ends".to_owned()),
        }
    }

    /// Begins to renew what is due.
    ///
    /// # Errors
    /// When the system gives no thread for it.
    pub fn renew(&self) -> Result<(), String> {
        let issuer = Arc::clone(&self.issuer);
        let renewing = async move { issuer.renew().await };
        let begun = self.delivery.spawn_until_end(renewing);
        begun.map_err(|error| error.to_string())
    }

    /// The certificate for a name in Kong's form: `digest`, `host`, `issuer_cn`, `not_before` and
    /// `not_after` (`2024-02-29 12:34:56`, in UTC), `valid`, `serial_number`, `pubkey_type`; none
    /// where there is none.
    ///
    /// # Errors
    /// When the storage cannot be reached, or holds something else.
    pub async fn find(&self, name: &str) -> Result<Option<Value>, String> {
        let found = self.issuer.told(&name.to_ascii_lowercase()).await;
        found.map_err(said)
    }

    /// All certificates that are renewed, in the same form, in the order of their names.
    ///
    /// # Errors
    /// When the storage cannot be reached, or holds something else.
    pub async fn all(&self) -> Result<Vec<Value>, String> {
        let names = self.issuer.names().await.map_err(said)?;
        let mut all = Vec::new();
        for name in names {
            match self.find(&name).await? {
                Some(certificate) => all.push(certificate),
                None => tracing::warn!(name, "a certificate that is to be renewed is not there"),
            }
        }
        Ok(all)
    }

    /// Asks for the answer to a challenge as an authority would, to see whether the name is one of
    /// the setting `domains` and leads to a node with this plugin.
    ///
    /// # Errors
    /// Why it is not known to.
    pub async fn try_challenge(&self, name: &str) -> Result<(), String> {
        self.issuer.try_challenge(&name.to_ascii_lowercase()).await
    }
}

fn said(error: IssueError) -> String {
    error.to_string()
}
