//! Who must have signed a snapshot for this node to believe it, and with which keys it is sealed.

use std::sync::Arc;

use anyhow::Context;
use keelgate_fallback::Verify;
use keelgate_settings::{ClusterMtls, Role, Settings};
use keelgate_snapshot::{SealingKeys, Signatories, Signer, Verifier, VerifyError, accept_unsigned};
use keelgate_source::VerifyDelta;
use keelgate_sync::Trust;

use super::certificates::{trusted_bundles, trusted_pem};

/// Certificate and key of the cluster, in PEM.
pub(crate) struct ClusterIdentity {
    pub(crate) cert: String,
    pub(crate) key: String,
    pub(crate) trust: Trust,
    verifier: Arc<Verifier>,
    sealing: Option<Arc<SealingKeys>>,
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
                let (ca, peers) = authorities(settings);
                let verifier = authority(settings, &ca, &cert)?;
                (
                    Trust::Authority {
                        ca_pem: peers,
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
            sealing: sealing_keys(settings)?,
        })
    }

    /// Signs the snapshots of a control plane.
    pub(crate) fn signer(&self) -> anyhow::Result<Arc<Signer>> {
        Signer::from_pem(&self.cert, &self.key)
            .map(Arc::new)
            .context("cluster_cert and cluster_cert_key")
    }

    /// The keys that seal what this node stores; none when it stores plain documents.
    pub(crate) fn sealing(&self) -> Option<Arc<SealingKeys>> {
        self.sealing.clone()
    }

    /// Checks snapshots from storages: signed by whom the cluster believes, sealed or not.
    pub(crate) fn verify(&self) -> Verify {
        self.opening(self.signed())
    }

    /// Checks documents of the control plane that this node is connected to, and of this node's own
    /// cache, which holds what came from there.
    pub(crate) fn verify_peer(&self) -> Verify {
        self.opening(trusting_the_peer(self.signed()))
    }

    /// Checks what deltas of the control plane lead to.
    pub(crate) fn verify_delta(&self) -> VerifyDelta {
        let verifier = Arc::clone(&self.verifier);
        Arc::new(move |base, message| verifier.verify_delta(base, message))
    }

    fn signed(&self) -> Verify {
        let verifier = Arc::clone(&self.verifier);
        Arc::new(move |document| verifier.verify(document))
    }

    /// Opens what is sealed before it is checked.
    fn opening(&self, verify: Verify) -> Verify {
        match self.sealing() {
            Some(keys) => Arc::new(move |document| keys.verify(document, |inner| verify(inner))),
            None => verify,
        }
    }
}

/// Who issued the certificates of those who sign, and of the nodes at the other end of connections,
/// in PEM. Both are `cluster_ca_cert`. A data plane also connects to a control plane whose
/// certificate is of another authority that is named in `lua_ssl_trusted_certificate`; those of the
/// system count only where there is no `cluster_ca_cert`.
fn authorities(settings: &Settings) -> (String, String) {
    let role = settings.node.role;
    match &settings.cluster.cluster_ca_cert {
        Some(ca) if role == Role::DataPlane => {
            let mut peers = ca.pem.clone();
            for bundle in trusted_bundles(settings) {
                peers.push('\n');
                peers.push_str(bundle);
            }
            (ca.pem.clone(), peers)
        }
        Some(ca) => (ca.pem.clone(), ca.pem.clone()),
        None => {
            let all = trusted_pem(settings);
            (all.clone(), all)
        }
    }
}

/// Where every node has a certificate of its own, only those of control planes, and of others that
/// are named, may sign.
fn authority(settings: &Settings, ca: &str, own: &str) -> anyhow::Result<Verifier> {
    let cluster = &settings.cluster;
    let is_control_plane = settings.node.role == Role::ControlPlane;
    let control_planes = match &cluster.cluster_server_name {
        Some(name) => vec![name.clone()],
        None if is_control_plane => Vec::new(),
        None => cluster
            .cluster_control_plane
            .iter()
            .map(|address| address.host.clone())
            .collect(),
    };
    let signatories = Signatories {
        control_planes: &control_planes,
        own: is_control_plane.then_some(own),
        others: &settings.fallback.cluster_fallback_config_signers,
    };
    Verifier::authority(ca, &signatories).context(
        "cluster_ca_cert, cluster_server_name, cluster_control_plane and cluster_fallback_config_signers",
    )
}

fn sealing_keys(settings: &Settings) -> anyhow::Result<Option<Arc<SealingKeys>>> {
    let keys = settings
        .fallback
        .cluster_fallback_config_encryption_keys
        .keys();
    if keys.is_empty() {
        return Ok(None);
    }
    SealingKeys::new(keys.iter().map(|key| (key.id(), key.expose())))
        .map(|keys| Some(Arc::new(keys)))
        .context("cluster_fallback_config_encryption_keys")
}

/// Believes what a control plane of Kong sends, which signs nothing: it has proved itself by its
/// certificate, and the cache holds only what came from there. A document that names an identity
/// comes from Keelgate and must be signed.
fn trusting_the_peer(verify: Verify) -> Verify {
    Arc::new(move |document| match verify(document.clone()) {
        Err(VerifyError::Unsigned) => match accept_unsigned(document)? {
            snapshot if snapshot.identity().epoch == 0 => Ok(snapshot),
            _ => Err(VerifyError::Unsigned),
        },
        verified => verified,
    })
}

#[cfg(test)]
mod tests {
    use keelgate_settings::Loader;
    use tempfile::TempDir;

    use super::*;

    /// A certificate and its key as files, and the certificate as text.
    fn certificate(place: &TempDir, name: &str) -> (String, String, String) {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let path = |end: &str| place.path().join(format!("{name}.{end}"));
        std::fs::write(path("crt"), made.cert.pem()).unwrap();
        std::fs::write(path("key"), made.signing_key.serialize_pem()).unwrap();
        let shown = |end| path(end).display().to_string();
        (shown("crt"), shown("key"), made.cert.pem())
    }

    fn settings(place: &TempDir, lines: &[(&str, &str)]) -> Settings {
        let (cert, key, _) = certificate(place, "own");
        let mut loader = Loader::new()
            .option("prefix", place.path().display().to_string(), "--test")
            .option("role", "data_plane", "--test")
            .option("cluster_mtls", "pki", "--test")
            .option("cluster_server_name", "cp.example.com", "--test")
            .option("cluster_cert", cert, "--test")
            .option("cluster_cert_key", key, "--test");
        for (key, value) in lines {
            loader = loader.option(key, *value, "--test");
        }
        loader.load().unwrap().settings
    }

    #[test]
    fn a_data_plane_connects_to_further_authorities_and_believes_signatures_of_its_own_alone() {
        let place = tempfile::tempdir().unwrap();
        let (ca_path, _, ca) = certificate(&place, "ca");
        let (other_path, _, other) = certificate(&place, "other");
        let settings = settings(
            &place,
            &[
                ("cluster_ca_cert", &ca_path),
                (
                    "lua_ssl_trusted_certificate",
                    &format!("system,{other_path}"),
                ),
            ],
        );
        let (signers, peers) = authorities(&settings);
        assert_eq!(signers, ca);
        assert!(peers.contains(ca.trim()) && peers.contains(other.trim()));
        let certificates = peers.matches("BEGIN CERTIFICATE").count();
        assert_eq!(certificates, 2, "those of the system do not count");
    }

    #[test]
    fn without_an_authority_of_its_own_a_data_plane_trusts_what_it_trusts_elsewhere() {
        let place = tempfile::tempdir().unwrap();
        let (other_path, _, other) = certificate(&place, "other");
        let settings = settings(&place, &[("lua_ssl_trusted_certificate", &other_path)]);
        let (signers, peers) = authorities(&settings);
        assert_eq!(signers.trim(), other.trim());
        assert_eq!(signers, peers);
    }

    #[test]
    fn what_is_sealed_is_opened_before_it_is_checked() {
        let place = tempfile::tempdir().unwrap();
        let key = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        let settings = settings(
            &place,
            &[
                ("cluster_mtls", "shared"),
                ("cluster_fallback_config_encryption_keys", key),
            ],
        );
        let cluster = ClusterIdentity::read(&settings).unwrap();
        let position = keelgate_snapshot::Position {
            cluster_id: uuid::Uuid::nil(),
            epoch: 1,
            revision: 7,
        };
        let tables = serde_json::json!({ "_format_version": "3.0" });
        let snapshot = keelgate_snapshot::build(
            &tables,
            position,
            "0.1.0",
            std::time::SystemTime::now(),
            Some(&cluster.signer().unwrap()),
        )
        .unwrap();
        let sealed = cluster.sealing().unwrap().seal(&snapshot).unwrap();
        assert!(keelgate_snapshot::is_sealed(&sealed));
        let verify = cluster.verify();
        let opened = verify(sealed).unwrap();
        assert_eq!(opened.identity(), snapshot.identity());
    }
}
