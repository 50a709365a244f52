//! Who must have signed a snapshot for this node to believe it.

use std::sync::Arc;

use anyhow::Context;
use keelgate_fallback::Verify;
use keelgate_settings::{ClusterMtls, Settings};
use keelgate_snapshot::{Signer, Verifier};
use keelgate_sync::Trust;

/// Certificate and key of the cluster, in PEM.
pub(crate) struct ClusterIdentity {
    pub(crate) cert: String,
    pub(crate) key: String,
    pub(crate) trust: Trust,
    verifier: Arc<Verifier>,
}

impl ClusterIdentity {
    /// Reads the `cluster_*` settings of a node in hybrid mode.
    pub(crate) fn read(settings: &Settings) -> anyhow::Result<Self> {
        let cluster = &settings.cluster;
        let cert = cluster
            .cluster_cert
            .as_ref()
            .context("cluster_cert is not set")?
            .pem
            .clone();
        let key = cluster
            .cluster_cert_key
            .as_ref()
            .context("cluster_cert_key is not set")?
            .pem
            .expose()
            .to_owned();
        let (trust, verifier) = match cluster.cluster_mtls {
            ClusterMtls::Shared => (
                Trust::Shared,
                Verifier::shared(&cert).context("cluster_cert")?,
            ),
            ClusterMtls::Pki => {
                let ca = cluster
                    .cluster_ca_cert
                    .as_ref()
                    .context("cluster_ca_cert is not set")?
                    .pem
                    .clone();
                let verifier = Verifier::authority(&ca).context("cluster_ca_cert")?;
                (
                    Trust::Authority {
                        ca_pem: ca,
                        server_name: cluster.cluster_server_name.clone(),
                    },
                    verifier,
                )
            }
        };
        Ok(Self {
            cert,
            key,
            trust,
            verifier: Arc::new(verifier),
        })
    }

    /// Signs the snapshots of a control plane.
    pub(crate) fn signer(&self) -> anyhow::Result<Arc<Signer>> {
        Signer::from_pem(&self.cert, &self.key)
            .map(Arc::new)
            .context("cluster_cert and cluster_cert_key")
    }

    /// Checks snapshots from caches and storages.
    pub(crate) fn verify(&self) -> Verify {
        let verifier = Arc::clone(&self.verifier);
        Arc::new(move |document| verifier.verify(document))
    }
}
