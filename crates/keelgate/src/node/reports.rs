//! What status API, metrics and `keelgate status` tell: one set of facts, read when asked for.

use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use keelgate_fallback::PublisherStatus;
use keelgate_sync::DataPlanes;
use keelgate_telemetry::Metrics;
use keelgate_telemetry::metrics::StorageLabels;
use serde_json::{Value, json};
use tokio::sync::watch;
use uuid::Uuid;

use super::activation::Active;

/// The report of a data plane's source, as JSON.
pub(crate) type SourceReport = Box<dyn Fn() -> Value + Send + Sync>;

/// The facts of a node. Parts that exist only in some roles are added when they have started.
pub(crate) struct Reports {
    node_id: Uuid,
    role: &'static str,
    metrics: Metrics,
    active: watch::Receiver<Option<Active>>,
    source: OnceLock<SourceReport>,
    backups: OnceLock<Vec<watch::Receiver<PublisherStatus>>>,
    data_planes: OnceLock<Arc<DataPlanes>>,
}

impl Reports {
    /// The facts that every node has.
    pub(crate) fn new(
        node_id: Uuid,
        role: &'static str,
        metrics: Metrics,
        active: watch::Receiver<Option<Active>>,
    ) -> Self {
        Self {
            node_id,
            role,
            metrics,
            active,
            source: OnceLock::new(),
            backups: OnceLock::new(),
            data_planes: OnceLock::new(),
        }
    }

    /// Adds the choice of a data plane, or the one source of another node.
    pub(crate) fn add_source(&self, report: SourceReport) {
        // Each part is started once; a second one would be a second role in one process.
        let _ = self.source.set(report);
    }

    /// Adds the only source of a node that has no choice: `store` or `declarative`.
    pub(crate) fn add_only_source(&self, name: &'static str) {
        let active = self.active.clone();
        self.add_source(Box::new(move || match &*active.borrow() {
            Some(active) => json!({
                "serving": {
                    "source": name,
                    "identity": active.identity,
                    "config_hash": active.config_hash,
                    "created_at": seconds(active.created_at),
                    "since": seconds(active.since),
                },
            }),
            None => json!({ "serving": null }),
        }));
    }

    /// Adds the publisher.
    pub(crate) fn add_backups(&self, statuses: Vec<watch::Receiver<PublisherStatus>>) {
        let _ = self.backups.set(statuses);
    }

    /// Adds the data planes of a control plane.
    pub(crate) fn add_data_planes(&self, data_planes: Arc<DataPlanes>) {
        let _ = self.data_planes.set(data_planes);
    }

    /// The `keelgate` member of `/status`.
    pub(crate) fn json(&self) -> Value {
        let mut report = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "node_id": self.node_id,
            "role": self.role,
            "source": self.source.get().map_or(Value::Null, |source| source()),
        });
        if let Some(active) = &*self.active.borrow()
            && !active.flaws.is_empty()
        {
            report["flaws"] = json!(active.flaws);
        }
        if let Some(statuses) = self.backups.get() {
            let list = statuses
                .iter()
                .map(|status| serde_json::to_value(&*status.borrow()).unwrap_or_default());
            report["fallback"] = Value::Array(list.collect());
        }
        if let Some(data_planes) = self.data_planes.get() {
            let list = data_planes.list();
            report["data_planes"] = json!({
                "known": list.len(),
                "connected": list.iter().filter(|plane| plane.keelgate.connected).count(),
            });
        }
        report
    }

    /// The metrics, brought up to the same facts.
    pub(crate) fn text(&self) -> String {
        self.measure_source();
        for status in self.backups.get().into_iter().flatten() {
            self.measure_backup(&status.borrow());
        }
        if let Some(data_planes) = self.data_planes.get() {
            let connected = data_planes
                .list()
                .iter()
                .filter(|plane| plane.keelgate.connected)
                .count();
            self.metrics
                .cluster
                .data_planes
                .set(i64::try_from(connected).unwrap_or(i64::MAX));
        }
        self.metrics.render()
    }

    fn measure_source(&self) {
        const SOURCES: [&str; 5] = ["control_plane", "cache", "storage", "declarative", "store"];
        let report = self.source.get().map_or(Value::Null, |source| source());
        let name = report["serving"]["source"].as_str().unwrap_or("none");
        let metrics = &self.metrics.source;
        metrics.set_serving(&SOURCES, name);
        let quarantined = report["quarantined"].as_array().map_or(0, Vec::len);
        metrics
            .quarantined
            .set(i64::try_from(quarantined).unwrap_or(i64::MAX));
        if let Some(active) = &*self.active.borrow() {
            metrics
                .epoch
                .set(i64::try_from(active.identity.epoch).unwrap_or(i64::MAX));
            metrics
                .revision
                .set(i64::try_from(active.identity.revision).unwrap_or(i64::MAX));
            metrics.created_at.set(seconds(active.created_at));
            metrics.served_since.set(seconds(active.since));
        }
        if self.role == "data_plane" {
            let connected = !report["control_plane"].is_null();
            self.metrics
                .cluster
                .control_plane_connected
                .set(i64::from(connected));
        }
    }

    fn measure_backup(&self, status: &PublisherStatus) {
        let metrics = &self.metrics.fallback;
        let labels = StorageLabels {
            storage: status.storage.clone(),
        };
        metrics
            .elected
            .get_or_create(&labels)
            .set(i64::from(status.leading));
        if let Some(success) = &status.last_success {
            metrics
                .last_success
                .get_or_create(&labels)
                .set(seconds(success.at));
        }
    }
}

/// Seconds since 1970, to the millisecond.
fn seconds(time: SystemTime) -> f64 {
    let millis = time
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis();
    millis as f64 / 1000.0
}
