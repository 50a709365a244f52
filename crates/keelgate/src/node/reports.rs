//! What status API, metrics and `keelgate status` tell: one set of facts, read when asked for.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use keelgate_fallback::PublisherStatus;
use keelgate_plugins::Registry;
use keelgate_snapshot::{Identity, Snapshot};
use keelgate_source::Report;
use keelgate_sync::DataPlanes;
use keelgate_telemetry::metrics::{
    self, ClusterFacts, Facts, Position, SourceFacts, StorageFacts, StreamFacts, TrafficFacts,
};
use serde_json::{Value, json};
use tokio::sync::watch;
use uuid::Uuid;

use super::activation::Active;
use super::served::Lasting;
use super::upstreams::Upstreams;

/// Where the configuration of a node comes from.
enum Source {
    /// One place and no choice: `store` or `declarative`.
    Only(&'static str),
    /// The store of a control plane, which serves data planes and no requests.
    Built(watch::Receiver<Option<Snapshot>>),
    /// What a data plane has chosen.
    Chosen(watch::Receiver<Report>),
}

/// The facts of a node. Parts that exist only in some roles are added when they have started.
pub(crate) struct Reports {
    node_id: Uuid,
    role: &'static str,
    active: watch::Receiver<Option<Active>>,
    source: OnceLock<Source>,
    backups: OnceLock<Vec<watch::Receiver<PublisherStatus>>>,
    data_planes: OnceLock<Arc<DataPlanes>>,
    upstreams: OnceLock<Upstreams>,
    traffic: OnceLock<Lasting>,
    plugins: OnceLock<Arc<Registry>>,
}

impl Reports {
    /// The facts that every node has.
    pub(crate) fn new(
        node_id: Uuid,
        role: &'static str,
        active: watch::Receiver<Option<Active>>,
    ) -> Self {
        Self {
            upstreams: OnceLock::new(),
            node_id,
            role,
            active,
            source: OnceLock::new(),
            backups: OnceLock::new(),
            data_planes: OnceLock::new(),
            traffic: OnceLock::new(),
            plugins: OnceLock::new(),
        }
    }

    /// Adds the choice of a data plane.
    pub(crate) fn add_choice(&self, report: watch::Receiver<Report>) {
        // Each part is started once; a second one would be a second role in one process.
        let _ = self.source.set(Source::Chosen(report));
    }

    /// Adds the only source of a node that has no choice: `store` or `declarative`.
    pub(crate) fn add_only_source(&self, name: &'static str) {
        let _ = self.source.set(Source::Only(name));
    }

    /// Adds the snapshots that a control plane hands to data planes.
    pub(crate) fn add_built(&self, snapshots: watch::Receiver<Option<Snapshot>>) {
        let _ = self.source.set(Source::Built(snapshots));
    }

    /// Adds the upstreams that serve, on nodes that do.
    pub(crate) fn add_upstreams(&self, upstreams: Upstreams) {
        let _ = self.upstreams.set(upstreams);
    }

    /// Adds the publisher.
    pub(crate) fn add_backups(&self, statuses: Vec<watch::Receiver<PublisherStatus>>) {
        let _ = self.backups.set(statuses);
    }

    /// Adds the data planes of a control plane.
    pub(crate) fn add_data_planes(&self, data_planes: Arc<DataPlanes>) {
        let _ = self.data_planes.set(data_planes);
    }

    /// Adds what clients do, on nodes that proxy.
    pub(crate) fn add_traffic(&self, lasting: Lasting) {
        let _ = self.traffic.set(lasting);
    }

    /// Adds the plugins that serve, on nodes that proxy.
    pub(crate) fn add_plugins(&self, registry: Arc<Registry>) {
        let _ = self.plugins.set(registry);
    }

    /// The `keelgate` member of `/status`.
    pub(crate) fn json(&self) -> Value {
        let now = SystemTime::now();
        let mut report = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "node_id": self.node_id,
            "role": self.role,
            "source": self.source_json(now),
        });
        if let Some(active) = &*self.active.borrow()
            && !active.flaws.is_empty()
        {
            report["flaws"] = json!(active.flaws);
        }
        if let Some(statuses) = self.backups.get() {
            let list = statuses
                .iter()
                .map(|status| backup_json(&status.borrow(), now));
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

    /// The metrics of the same facts, and what plugins have counted. What the configuration is kept
    /// in can be reached, or not.
    pub(crate) fn text(&self, datastore_reachable: bool) -> String {
        let facts = Facts {
            datastore_reachable,
            ..self.facts(SystemTime::now())
        };
        let mut text = metrics::render(&facts);
        if let Some(plugins) = self.plugins.get() {
            text.push_str(&plugins.metrics());
        }
        text
    }

    fn source_json(&self, now: SystemTime) -> Value {
        match self.source.get() {
            None => Value::Null,
            Some(Source::Only(name)) => match &*self.active.borrow() {
                Some(active) => json!({
                    "serving": {
                        "source": name,
                        "identity": active.identity,
                        "config_hash": active.config_hash,
                        "created_at": unix_seconds(active.created_at),
                        "age_seconds": elapsed(active.created_at, now),
                        "since": unix_seconds(active.since),
                    },
                }),
                None => json!({ "serving": null }),
            },
            Some(Source::Built(snapshots)) => match &*snapshots.borrow() {
                Some(built) => json!({
                    "serving": {
                        "source": "store",
                        "identity": built.identity(),
                        "config_hash": built.config_hash(),
                        "created_at": unix_seconds(built.created_at()),
                        "age_seconds": elapsed(built.created_at(), now),
                    },
                }),
                None => json!({ "serving": null }),
            },
            Some(Source::Chosen(report)) => {
                let report = report.borrow();
                let mut json = serde_json::to_value(&*report).unwrap_or_default();
                if let Some(serving) = &report.serving {
                    json["serving"]["age_seconds"] = json!(elapsed(serving.created_at, now));
                }
                json
            }
        }
    }

    fn facts(&self, now: SystemTime) -> Facts {
        let connected = |planes: &Arc<DataPlanes>| {
            let list = planes.list();
            list.iter().filter(|plane| plane.keelgate.connected).count() as u64
        };
        Facts {
            now,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            node_id: self.node_id.to_string(),
            kong_version: keelgate_entities::KONG_API_VERSION.to_owned(),
            datastore_reachable: true,
            role: self.role.to_owned(),
            source: self.source_facts(),
            storages: self
                .backups
                .get()
                .into_iter()
                .flatten()
                .map(|status| storage_facts(&status.borrow()))
                .collect(),
            kong_target_health: self.plugins.get().is_some_and(|it| it.tells_health()),
            targets: self.upstreams.get().map_or_else(Vec::new, Upstreams::facts),
            cluster: ClusterFacts {
                control_plane_connected: match self.source.get() {
                    Some(Source::Chosen(report)) => Some(report.borrow().control_plane.is_some()),
                    _ => None,
                },
                data_planes: self.data_planes.get().map(connected),
            },
            streams: self.traffic.get().map_or_else(Vec::new, stream_facts),
            traffic: self.traffic.get().map(|lasting| {
                let counted = lasting.counts.sum();
                TrafficFacts {
                    accepted: counted.accepted,
                    handled: counted.handled,
                    active: counted.active,
                    reading: counted.reading,
                    writing: counted.writing,
                    waiting: counted.waiting,
                    requests: counted.requests,
                    full: counted.full,
                    lines_dropped: lasting.lines_lost(),
                    records_dropped: self.plugins.get().map_or(0, |it| it.records_lost()),
                }
            }),
        }
    }

    fn source_facts(&self) -> SourceFacts {
        match self.source.get() {
            None => SourceFacts::default(),
            Some(Source::Only(name)) => match &*self.active.borrow() {
                Some(active) => SourceFacts {
                    serving: Some((*name).to_owned()),
                    position: Some(position(&active.identity)),
                    created_at: Some(active.created_at),
                    since: Some(active.since),
                    ..SourceFacts::default()
                },
                None => SourceFacts::default(),
            },
            Some(Source::Built(snapshots)) => match &*snapshots.borrow() {
                Some(built) => SourceFacts {
                    serving: Some("store".to_owned()),
                    position: Some(position(built.identity())),
                    created_at: Some(built.created_at()),
                    ..SourceFacts::default()
                },
                None => SourceFacts::default(),
            },
            Some(Source::Chosen(report)) => {
                let report = report.borrow();
                let serving = report.serving.as_ref();
                SourceFacts {
                    serving: serving.map(|serving| serving.source.to_owned()),
                    position: serving.map(|serving| position(&serving.identity)),
                    created_at: serving.map(|serving| serving.created_at),
                    since: serving.map(|serving| serving.since),
                    quarantined: report.quarantined.len() as u64,
                    state: Some(word(json!(report.state))),
                    state_since: Some(report.state_since),
                    potentially_stale: Some(report.potentially_stale),
                    stale: Some(report.stale),
                    last_error: report
                        .last_error
                        .as_ref()
                        .map(|error| (error.kind.to_owned(), error.at)),
                }
            }
        }
    }
}

fn backup_json(status: &PublisherStatus, now: SystemTime) -> Value {
    let mut json = serde_json::to_value(status).unwrap_or_default();
    json["age_seconds"] = json!(status.age(now).map(|age| age.as_secs_f64()));
    json
}

fn stream_facts(lasting: &Lasting) -> Vec<StreamFacts> {
    use keelgate_proxy::Transport::{Tcp, Tls, Udp};
    let counted = lasting.stream_counts.sum();
    let of = |(transport, protocol): (_, &str)| {
        let open = *counted.open.get(&transport)?;
        let ended = counted.ended.range((transport, 0)..=(transport, u16::MAX));
        let ended = ended.map(|((_, status), ended)| (*status, *ended));
        Some(StreamFacts {
            protocol: protocol.to_owned(),
            open,
            sessions: ended
                .clone()
                .map(|(status, ended)| (status, ended.sessions))
                .collect(),
            sent: ended.clone().map(|(_, ended)| ended.sent).sum(),
            received: ended.map(|(_, ended)| ended.received).sum(),
        })
    };
    [(Tcp, "tcp"), (Tls, "tls"), (Udp, "udp")]
        .into_iter()
        .filter_map(of)
        .collect()
}

fn storage_facts(status: &PublisherStatus) -> StorageFacts {
    let success = status.last_success.as_ref();
    StorageFacts {
        storage: status.storage.clone(),
        state: word(json!(status.state)),
        leading: status.leading,
        leader: status.leader.map(|leader| leader.to_string()),
        leading_since: status.leading_since,
        fencing: status.fencing.map(|fencing| fencing.as_str().to_owned()),
        last_attempt: status.last_attempt,
        latency: status.latency_ms.map(Duration::from_millis),
        last_success: success.map(|success| success.at),
        bytes: status.bytes,
        stored: status.stored.as_ref().map(position),
        wanted: status.wanted.as_ref().map(position),
        failures: status
            .failures
            .iter()
            .map(|(kind, times)| ((*kind).to_owned(), *times))
            .collect(),
    }
}

fn position(identity: &Identity) -> Position {
    Position {
        epoch: identity.epoch,
        revision: identity.revision,
    }
}

/// The word that the status report has for a value.
fn word(value: Value) -> String {
    match value {
        Value::String(word) => word,
        _ => "unknown".to_owned(),
    }
}

/// Seconds since 1970, to the millisecond.
fn unix_seconds(time: SystemTime) -> f64 {
    elapsed(UNIX_EPOCH, time)
}

/// Seconds between two points in time, to the millisecond.
fn elapsed(from: SystemTime, to: SystemTime) -> f64 {
    to.duration_since(from).unwrap_or_default().as_millis() as f64 / 1000.0
}

#[cfg(test)]
mod tests;
