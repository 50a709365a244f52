//! The numbers that the status API exposes.
//!
//! Each part of the node gets its group of handles; a handle is an atomic, cheap
//! to clone and to update. Names begin with `keelgate_`, times are in seconds,
//! points in time are Unix times.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

/// The media type of what [`Metrics::render`] makes.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A gauge of seconds or of a point in time.
pub type SecondsGauge = Gauge<f64, AtomicU64>;

/// All metrics of a node.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Which configuration is served, and from where.
    pub source: SourceMetrics,
    /// The fallback storage.
    pub fallback: FallbackMetrics,
    /// Control plane and data planes.
    pub cluster: ClusterMetrics,
}

/// The source that a number is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct SourceLabels {
    /// `control_plane`, `cache`, `storage`, `declarative`, `store`.
    pub source: &'static str,
}

/// The storage that a number is about, by its address without credentials.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StorageLabels {
    /// Such as `s3://bucket/prefix`.
    pub storage: String,
}

/// Which configuration is served, and from where.
#[derive(Debug, Clone, Default)]
pub struct SourceMetrics {
    /// 1 for the source that what is served came from, 0 for the others.
    pub serving: Family<SourceLabels, Gauge>,
    /// Epoch of the snapshot that is served.
    pub epoch: Gauge,
    /// Revision of the snapshot that is served.
    pub revision: Gauge,
    /// When the snapshot that is served was made.
    pub created_at: SecondsGauge,
    /// When it began to be served.
    pub served_since: SecondsGauge,
    /// Snapshots that are not tried any more on this node.
    pub quarantined: Gauge,
}

/// The fallback storage.
#[derive(Debug, Clone, Default)]
pub struct FallbackMetrics {
    /// 1 while this node is the one that writes.
    pub elected: Family<StorageLabels, Gauge>,
    /// When a backup was last written and read back as good.
    pub last_success: Family<StorageLabels, SecondsGauge>,
}

/// Control plane and data planes.
#[derive(Debug, Clone, Default)]
pub struct ClusterMetrics {
    /// On a data plane: 1 while it is connected to a control plane.
    pub control_plane_connected: Gauge,
    /// On a control plane: how many data planes are connected.
    pub data_planes: Gauge,
}

impl SourceMetrics {
    /// Marks one source as the one that serves, and all others as not.
    pub fn set_serving(&self, sources: &[&'static str], serving: &str) {
        for source in sources {
            let is_serving = i64::from(*source == serving);
            self.serving
                .get_or_create(&SourceLabels { source })
                .set(is_serving);
        }
    }
}

impl Metrics {
    /// Metrics at zero. `others` may register further ones; names get the prefix
    /// `keelgate_`.
    #[must_use]
    pub fn new(version: &str, role: &str, others: impl FnOnce(&mut Registry)) -> Self {
        let mut registry = Registry::with_prefix("keelgate");
        let info = Info::new(vec![
            ("version".to_owned(), version.to_owned()),
            ("role".to_owned(), role.to_owned()),
        ]);
        registry.register("node", "This node", info);
        let source = SourceMetrics::default();
        let fallback = FallbackMetrics::default();
        let cluster = ClusterMetrics::default();
        source.register(registry.sub_registry_with_prefix("source"));
        fallback.register(registry.sub_registry_with_prefix("fallback"));
        cluster.register(registry.sub_registry_with_prefix("cluster"));
        others(&mut registry);
        Self {
            registry,
            source,
            fallback,
            cluster,
        }
    }

    /// All metrics as Prometheus reads them; its media type is [`CONTENT_TYPE`].
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = String::with_capacity(4096);
        // Writing into a String cannot fail, and no metric here encodes badly.
        if text::encode(&mut out, &self.registry).is_err() {
            out.clear();
            out.push_str("# EOF\n");
        }
        out
    }
}

impl SourceMetrics {
    fn register(&self, r: &mut Registry) {
        r.register(
            "serving",
            "1 for the source of what is served",
            self.serving.clone(),
        );
        r.register("epoch", "Epoch of the served snapshot", self.epoch.clone());
        r.register(
            "revision",
            "Revision of the served snapshot",
            self.revision.clone(),
        );
        r.register(
            "created_at_seconds",
            "When the served snapshot was made",
            self.created_at.clone(),
        );
        r.register(
            "served_since_seconds",
            "When it began to be served",
            self.served_since.clone(),
        );
        r.register(
            "quarantined",
            "Snapshots that are not tried any more",
            self.quarantined.clone(),
        );
    }
}

impl FallbackMetrics {
    fn register(&self, r: &mut Registry) {
        r.register(
            "elected",
            "1 while this node writes the backups",
            self.elected.clone(),
        );
        r.register(
            "last_success_seconds",
            "When a backup was last written and verified",
            self.last_success.clone(),
        );
    }
}

impl ClusterMetrics {
    fn register(&self, r: &mut Registry) {
        r.register(
            "control_plane_connected",
            "1 while connected to a control plane",
            self.control_plane_connected.clone(),
        );
        r.register(
            "data_planes",
            "Data planes that are connected",
            self.data_planes.clone(),
        );
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;

    use super::*;

    #[test]
    fn handles_show_in_what_is_rendered() {
        let own: Counter = Counter::default();
        let metrics = Metrics::new("0.1.0", "data_plane", |registry| {
            registry.register("own", "Somebody else's", own.clone());
        });
        own.inc();
        metrics.source.revision.set(42);
        metrics.source.set_serving(&["cache", "storage"], "storage");
        let bucket = StorageLabels {
            storage: "s3://bucket/prefix".to_owned(),
        };
        metrics
            .fallback
            .last_success
            .get_or_create(&bucket)
            .set(1_700_000_000.5);
        let text = metrics.render();
        for line in [
            "keelgate_node_info{version=\"0.1.0\",role=\"data_plane\"} 1",
            "keelgate_own_total 1",
            "keelgate_source_revision 42",
            "keelgate_source_serving{source=\"storage\"} 1",
            "keelgate_source_serving{source=\"cache\"} 0",
            "keelgate_fallback_last_success_seconds{storage=\"s3://bucket/prefix\"} 1700000000.5",
            "# EOF",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }
}
