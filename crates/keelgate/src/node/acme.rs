//! The certificates of `acme`, as the Admin API tells them.

use keelgate_admin::{AcmeCertificates, Told};
use keelgate_plugins::Certificates;
use serde_json::Value;

/// The certificates that this node gets.
pub(crate) struct Issued(pub(crate) Certificates);

impl AcmeCertificates for Issued {
    fn issue(&self, name: String) -> Told<()> {
        let certificates = self.0.clone();
        Box::pin(async move { certificates.issue(&name).await })
    }

    fn renew(&self) -> Result<(), String> {
        self.0.renew()
    }

    fn find(&self, name: String) -> Told<Option<Value>> {
        let certificates = self.0.clone();
        Box::pin(async move { certificates.find(&name).await })
    }

    fn all(&self) -> Told<Vec<Value>> {
        let certificates = self.0.clone();
        Box::pin(async move { certificates.all().await })
    }

    fn try_challenge(&self, name: String) -> Told<()> {
        let certificates = self.0.clone();
        Box::pin(async move { certificates.try_challenge(&name).await })
    }
}
