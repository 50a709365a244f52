//! The shared facts of a cluster: its certificate and its storage.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Node, Role, Storage, Upstream, node};

/// A cluster: one certificate, at most one storage, and an upstream to proxy to.
pub struct Cluster {
    /// The upstream behind every route.
    pub upstream: Upstream,
    directory: TempDir,
    storage: Vec<Arc<Storage>>,
    environment: Vec<(String, String)>,
}

impl Cluster {
    /// A cluster without a storage.
    pub async fn new() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("keelgate-cluster-")
            .tempdir()
            .expect("make a directory");
        let cluster = Self {
            upstream: Upstream::start().await,
            directory,
            storage: Vec::new(),
            environment: Vec::new(),
        };
        let made = Command::new(node::binary())
            .args(["hybrid", "gen_cert"])
            .arg(cluster.certificate())
            .arg(cluster.key())
            .output()
            .expect("run the binary under test");
        assert!(
            made.status.success(),
            "gen_cert: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        cluster
    }

    /// A cluster that backs up to a fresh prefix of the S3 server under test.
    pub async fn with_s3() -> Self {
        Self::new().await.and_storage(Storage::s3())
    }

    /// Adds a storage behind those that it has.
    pub fn and_storage(mut self, storage: Storage) -> Self {
        self.storage.push(Arc::new(storage));
        self
    }

    /// Nodes that are started from now on have these variables, which go before those of the
    /// storages.
    pub fn give(&mut self, environment: Vec<(String, String)>) {
        self.environment = environment;
    }

    /// The cluster certificate.
    pub fn certificate(&self) -> PathBuf {
        self.directory.path().join("cluster.crt")
    }

    /// The cluster key.
    pub fn key(&self) -> PathBuf {
        self.directory.path().join("cluster.key")
    }

    /// The first storage.
    pub fn storage(&self) -> &Storage {
        &self.storage[0]
    }

    /// One of several storages, in the order of the setting.
    pub fn storage_at(&self, place: usize) -> &Storage {
        &self.storage[place]
    }

    /// The first storage, to be kept by tasks beside the test.
    pub fn shared_storage(&self) -> &Arc<Storage> {
        &self.storage[0]
    }

    fn node(&self, role: Role, settings: &[(&str, &str)]) -> Node {
        let (certificate, key) = (self.certificate(), self.key());
        let mut all = vec![
            (
                "cluster_cert",
                certificate.to_str().expect("a temporary path is UTF-8"),
            ),
            (
                "cluster_cert_key",
                key.to_str().expect("a temporary path is UTF-8"),
            ),
        ];
        let urls: Vec<&str> = self
            .storage
            .iter()
            .map(|storage| storage.url.as_str())
            .collect();
        let urls = urls.join(",");
        if !urls.is_empty() {
            all.push(("cluster_fallback_config_storage", &urls));
        }
        all.extend_from_slice(settings);
        let environment: Vec<_> = self
            .storage
            .iter()
            .flat_map(|storage| storage.environment.clone())
            .chain(self.environment.clone())
            .collect();
        Node::start(role, &all, &environment)
    }

    /// Starts a control plane.
    pub fn control_plane(&self, settings: &[(&str, &str)]) -> Node {
        self.node(Role::ControlPlane, settings)
    }

    /// Starts a data plane that dials this address (`host:port`).
    pub fn data_plane(&self, control_plane: &str, settings: &[(&str, &str)]) -> Node {
        let mut all = vec![("cluster_control_plane", control_plane)];
        all.extend_from_slice(settings);
        self.node(Role::DataPlane, &all)
    }

    /// Starts a data plane of a control plane.
    pub fn data_plane_of(&self, control_plane: &Node, settings: &[(&str, &str)]) -> Node {
        self.data_plane(&cluster_address(control_plane), settings)
    }

    /// Creates a service on the cluster's upstream with one route; returns the route.
    pub async fn add_route(&self, control_plane: &Node, name: &str, path: &str) -> Value {
        control_plane
            .change(
                "PUT",
                &format!("/services/{name}"),
                json!({"url": self.upstream.url()}),
            )
            .await;
        control_plane
            .change(
                "PUT",
                &format!("/services/{name}/routes/{name}"),
                json!({"paths": [path]}),
            )
            .await
    }
}

/// Where data planes dial a control plane.
pub fn cluster_address(control_plane: &Node) -> String {
    format!("127.0.0.1:{}", control_plane.ports.cluster)
}
