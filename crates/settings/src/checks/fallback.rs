//! What must hold between the settings of the fallback storage.

use std::time::Duration;

use keelgate_location::Location;

use super::Checks;
use crate::values::{ClusterMtls, MaxAgePolicy, Role};

/// How short and how long a lease may be. Below, a slow storage would lose it all the time.
const LEASES: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(3)..=Duration::from_secs(300);

const STORAGE: &str = "cluster_fallback_config_storage";

/// What storages have been set, by what can be done with them.
struct Kinds {
    any: bool,
    s3: bool,
    https: bool,
    writable: bool,
}

impl Checks<'_> {
    pub(super) fn fallback(&mut self) {
        let role = self.settings.node.role;
        if role == Role::Traditional {
            return;
        }
        let urls = &self.settings.fallback.cluster_fallback_config_storage;
        let kinds = Kinds {
            any: !urls.is_empty(),
            s3: urls
                .iter()
                .any(|url| matches!(url.location(), Location::S3 { .. })),
            https: urls
                .iter()
                .any(|url| matches!(url.location(), Location::Https { .. })),
            writable: urls.iter().any(|url| url.location().is_writable()),
        };
        let fallback = &self.settings.fallback;
        let import = fallback.cluster_fallback_config_import && role == Role::DataPlane;
        let export = fallback.cluster_fallback_config_export;
        self.storages(&kinds, import, export);
        self.pace(import, export);
        self.max_age();
        self.signers();
    }

    fn storages(&mut self, kinds: &Kinds, import: bool, export: bool) {
        let mend = "write for example s3://BUCKET/PREFIX or file:///DIRECTORY";
        for (on, key) in [
            (import, "cluster_fallback_config_import"),
            (export, "cluster_fallback_config_export"),
        ] {
            if on && !kinds.any {
                let message = format!("must be set when {key} = on");
                return self.error(STORAGE, message, mend);
            }
        }
        if kinds.any && !import && !export {
            self.warn(
                STORAGE,
                "is set, and this node neither writes to it nor reads from it",
                "set cluster_fallback_config_export = on, or cluster_fallback_config_import = on on a data plane",
            );
        }
        if export && !kinds.writable {
            self.error(
                STORAGE,
                "has no storage that can be written; those of https:// can only be read",
                "add the storage that lies behind the address, or set cluster_fallback_config_export = off",
            );
        }
        let fallback = &self.settings.fallback;
        let urls = &fallback.cluster_fallback_config_storage;
        let twice = urls
            .iter()
            .enumerate()
            .find(|(index, url)| urls[..*index].contains(url))
            .map(|(_, url)| url.to_string());
        let options = fallback.cluster_fallback_export_s3_config.is_some();
        let header = fallback.cluster_fallback_config_https_header.is_some();
        if let Some(url) = twice {
            self.warn(
                STORAGE,
                format!("names {url} twice"),
                "remove one of the two",
            );
        }
        if options && kinds.any && !kinds.s3 {
            self.warn(
                "cluster_fallback_export_s3_config",
                "has no effect: no storage is an s3:// one",
                "remove it",
            );
        }
        if header && kinds.any && !kinds.https {
            self.warn(
                "cluster_fallback_config_https_header",
                "has no effect: no storage is an https:// one",
                "remove it",
            );
        }
    }

    fn pace(&mut self, import: bool, export: bool) {
        let fallback = &self.settings.fallback;
        let refresh = fallback.cluster_fallback_config_refresh.0;
        let lease = fallback.cluster_fallback_config_lease.0;
        if import && refresh.is_zero() {
            self.error(
                "cluster_fallback_config_refresh",
                "must be greater than 0",
                "write seconds, such as 60",
            );
        }
        if export && !LEASES.contains(&lease) {
            self.error(
                "cluster_fallback_config_lease",
                "must be from 3 to 300 seconds",
                "write seconds, such as 10",
            );
        }
    }

    fn max_age(&mut self) {
        let fallback = &self.settings.fallback;
        let max_age = fallback.cluster_fallback_config_max_age.0;
        let refuses = fallback.cluster_fallback_config_max_age_policy == MaxAgePolicy::Refuse;
        if refuses && max_age.is_zero() {
            self.error(
                "cluster_fallback_config_max_age_policy",
                "nothing is ever refused: cluster_fallback_config_max_age is 0, which is no bound",
                "set cluster_fallback_config_max_age to seconds, such as 604800 for a week",
            );
        }
    }

    fn signers(&mut self) {
        let mtls = self.settings.cluster.cluster_mtls;
        let signers = &self.settings.fallback.cluster_fallback_config_signers;
        if !signers.is_empty() && mtls == ClusterMtls::Shared {
            self.warn(
                "cluster_fallback_config_signers",
                "has no effect with cluster_mtls = shared: whoever has the cluster's key may sign",
                "remove it, or set cluster_mtls = pki",
            );
        }
    }
}
