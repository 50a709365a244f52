//! Control planes and data planes.

use crate::section::section;
use crate::values::{Address, Certificate, ClusterMtls, Label, Ocsp, PrivateKey, Seconds};

section! {
    /// How control planes and data planes find and trust one another.
    pub struct Cluster in "HYBRID MODE" {
        /// How the nodes know one another. `shared`: one certificate and key, the
        /// same on all nodes. `pki`: certificates of their own, all issued by the
        /// authority in `cluster_ca_cert`.
        cluster_mtls: ClusterMtls = "shared" for Hybrid;
        /// The certificate that this node shows to the others. Data planes also
        /// verify the signature of snapshots with it in `shared` mode.
        cluster_cert: Option<Certificate> = "" for Hybrid;
        /// Its key. A control plane also signs snapshots with it.
        cluster_cert_key: Option<PrivateKey> = "" for Hybrid;
        /// The authority that issued the nodes' certificates; for `pki`. A data plane
        /// whose control plane has a certificate of a public authority may leave it
        /// unset: `lua_ssl_trusted_certificate` counts then.
        cluster_ca_cert: Option<Certificate> = "" for Hybrid;
        /// The control planes of a data plane, tried in order, as host:port,
        /// separated by commas.
        cluster_control_plane: Vec<Address> = "127.0.0.1:8005" for DataPlane;
        /// The name that a control plane's certificate must carry; for `pki`. In
        /// `shared` mode it is always kong_clustering.
        cluster_server_name: Option<String> = "" for DataPlane;
        /// The most seconds that a data plane which has nothing to serve waits for a
        /// control plane before it serves from its other sources. It keeps dialling
        /// after that.
        cluster_connect_deadline: Seconds = "3" for DataPlane;
        /// Labels that this data plane shows to its control plane, as key:value.
        cluster_dp_labels: Vec<Label> = "" for DataPlane;
        /// Whether the connection to the control plane goes through `proxy_server`.
        cluster_use_proxy: bool = "off" for DataPlane,
            missing "connections go the direct way; an HTTP proxy on it is not in this build yet";
        /// The most bytes a compressed message between the nodes may have.
        cluster_max_payload: u64 = "16777216" for Hybrid;
        /// Seconds after which a data plane that is gone is no longer listed.
        cluster_data_plane_purge_delay: Seconds = "1209600" for ControlPlane;
        /// Whether data planes' certificates are checked with their issuer by OCSP.
        cluster_ocsp: Ocsp = "off" for ControlPlane,
            missing "certificates of the cluster are not checked by OCSP in this build yet";
    }
}
