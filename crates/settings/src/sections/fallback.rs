//! The fallback storage.

use crate::section::section;
use crate::values::{S3PutOptions, Seconds, StorageUrl};

section! {
    /// Backups of the configuration in an object store, from which data planes
    /// start when no control plane answers. Credentials and the region come from
    /// the AWS_* environment, the address of another S3 server from
    /// AWS_CONFIG_STORAGE_ENDPOINT.
    pub struct Fallback in "FALLBACK STORAGE" {
        /// Where backups lie: `s3://bucket/prefix` or `file:///directory`. Several,
        /// separated by commas: all are written, the newest good one is read.
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
        /// Members of S3's PutObject call for every upload, as a JSON object, such as
        /// {"ServerSideEncryption": "AES256"}.
        cluster_fallback_export_s3_config: Option<S3PutOptions> = "" for Hybrid;
        /// Seconds between two looks at the storage while a data plane serves without
        /// a control plane.
        cluster_fallback_config_refresh: Seconds = "60" for DataPlane;
        /// How many backups are kept beside the newest one, to go back to.
        cluster_fallback_config_history: u32 = "10" for Hybrid;
    }
}
