//! The fallback storage.

use crate::section::section;
use crate::values::{HttpHeader, MaxAgePolicy, S3PutOptions, SealingKeys, Seconds, StorageUrl};

section! {
    /// Backups of the configuration in an object store, from which data planes
    /// start when no control plane answers. Credentials come from the environment,
    /// as the provider's own tools read them.
    pub struct Fallback in "FALLBACK STORAGE" {
        /// Where backups lie: `s3://bucket/prefix` (Amazon S3, or the S3 server whose
        /// address is in the variable AWS_CONFIG_STORAGE_ENDPOINT), `gcs://bucket/prefix`
        /// (Google Cloud Storage), `azure://account/container/prefix` (Azure Blob
        /// Storage), `file:///directory`, or, to read only, `https://host/path`.
        /// Several, separated by commas: all are written, the newest good one is
        /// read. Credentials come from the environment: AWS_*, GCP_SERVICE_ACCOUNT
        /// and GOOGLE_*, AZURE_*. The authorities in `lua_ssl_trusted_certificate`
        /// are trusted as well as those of the system.
        cluster_fallback_config_storage: Vec<StorageUrl> = "" for Hybrid;
        /// Whether this node writes backups. Turn it on at two or three nodes: they
        /// elect the one that writes.
        cluster_fallback_config_export: bool = "off" for Hybrid;
        /// Whether this data plane serves from the storage when no control plane
        /// answers and it has no newer configuration of its own.
        cluster_fallback_config_import: bool = "off" for DataPlane;
        /// Seconds that the writing node waits after a change, so that several
        /// changes in a row become one backup.
        cluster_fallback_config_export_delay: Seconds = "5" for Hybrid;
        /// Members of S3's PutObject call for every upload to S3, as a JSON object, such
        /// as {"ServerSideEncryption": "AES256"}. One that is unknown or cannot be
        /// honoured is an error at start.
        cluster_fallback_export_s3_config: Option<S3PutOptions> = "" for Hybrid;
        /// Seconds between two looks at the storage while a data plane serves without
        /// a control plane.
        cluster_fallback_config_refresh: Seconds = "60" for DataPlane;
        /// How many backups are kept beside the newest one, to go back to.
        cluster_fallback_config_history: u32 = "10" for Hybrid;
        /// Seconds after which another node takes over from a writing node that is
        /// gone. The same on all nodes that write.
        cluster_fallback_config_lease: Seconds = "10" for Hybrid;
        /// A header for every request to an `https://` storage, such as
        /// `Authorization: Bearer TOKEN`.
        cluster_fallback_config_https_header: Option<HttpHeader> = "" for DataPlane;
        /// Keys that seal backups and a data plane's cache, so that whoever can read
        /// the storage cannot read the configuration: ID:KEY, where KEY is the base64
        /// of 32 random bytes, separated by commas. The first key seals, all of them
        /// open. To exchange a key, add the new one behind the old one on all nodes,
        /// then put it first on all nodes, and remove the old one when no backup is
        /// sealed with it any more.
        cluster_fallback_config_encryption_keys: SealingKeys = "" for Hybrid;
        /// Seconds after which a configuration that no control plane stands behind counts
        /// as stale; 0 for never. Set the same on all nodes: control planes state an
        /// unchanged configuration anew well within this time, so that a storage that
        /// stands still can be told from a cluster that does not change.
        cluster_fallback_config_max_age: Seconds = "0" for Hybrid;
        /// What a data plane does with a stale configuration: `serve` it and raise the
        /// alarm in log, status and metrics, or `refuse` it.
        cluster_fallback_config_max_age_policy: MaxAgePolicy = "serve" for DataPlane;
        /// Names in the certificates of further nodes whose signatures are believed, for
        /// `cluster_mtls = pki`; separated by commas. The control plane's own name,
        /// `cluster_server_name` or the hosts in `cluster_control_plane`, is always
        /// believed.
        cluster_fallback_config_signers: Vec<String> = "" for Hybrid;
    }
}
