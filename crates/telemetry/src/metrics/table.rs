//! Every metric: what it is called, what it means, and what it reads.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::facts::{Facts, StorageFacts};

/// How a metric moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Up and down.
    Gauge,
    /// Up only, from the start of the node.
    Counter,
}

impl MetricKind {
    /// The word that Prometheus has for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
        }
    }
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its whole name.
    pub name: &'static str,
    /// How it moves.
    pub kind: MetricKind,
    /// The labels of its samples, in order.
    pub labels: &'static [&'static str],
    /// What it means.
    pub help: &'static str,
    pub(super) read: fn(&Facts, &mut Samples),
}

/// The samples of one metric.
#[derive(Debug, Default)]
pub(super) struct Samples(pub(super) Vec<(Vec<String>, f64)>);

impl Samples {
    fn add(&mut self, labels: &[&str], value: Option<f64>) {
        if let Some(value) = value {
            let labels = labels.iter().map(|&label| label.to_owned()).collect();
            self.0.push((labels, value));
        }
    }

    /// 1 for the word that holds and 0 for the others; also for a word that is not among `words`.
    fn one_of(&mut self, labels: &[&str], words: &[&str], holds: &str) {
        let other = (!words.contains(&holds)).then_some(holds);
        for &word in words.iter().chain(&other) {
            let labels: Vec<&str> = labels.iter().copied().chain([word]).collect();
            self.add(&labels, flag(word == holds));
        }
    }
}

fn flag(holds: bool) -> Option<f64> {
    Some(f64::from(u8::from(holds)))
}

fn count(number: u64) -> Option<f64> {
    Some(number as f64)
}

fn span(span: Duration) -> Option<f64> {
    Some(span.as_millis() as f64 / 1000.0)
}

/// Unix time, to the millisecond.
fn time(at: Option<SystemTime>) -> Option<f64> {
    span(at?.duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn age(at: Option<SystemTime>, now: SystemTime) -> Option<f64> {
    span(now.duration_since(at?).unwrap_or_default())
}

/// One sample per storage.
fn each(facts: &Facts, samples: &mut Samples, read: impl Fn(&StorageFacts) -> Option<f64>) {
    for storage in &facts.storages {
        samples.add(&[&storage.storage], read(storage));
    }
}

const SOURCES: [&str; 5] = ["control_plane", "cache", "storage", "declarative", "store"];
const SOURCE_STATES: [&str; 4] = ["starting", "empty", "current", "fallback"];
const BACKUP_STATES: [&str; 7] = [
    "empty",
    "following",
    "publishing",
    "retrying",
    "stored",
    "blocked",
    "read_only",
];
/// The state of a target that is not checked.
const UNCHECKED: &str = "healthchecks_off";
const TARGET_STATES: [&str; 3] = ["healthy", "unhealthy", "dns_error"];
const FENCINGS: [&str; 3] = ["compare", "none", "unknown"];

const STORAGE: &[&str] = &["storage"];

const fn gauge(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    read: fn(&Facts, &mut Samples),
) -> Metric {
    Metric {
        name,
        kind: MetricKind::Gauge,
        labels,
        help,
        read,
    }
}

const fn counter(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    read: fn(&Facts, &mut Samples),
) -> Metric {
    Metric {
        kind: MetricKind::Counter,
        ..gauge(name, labels, help, read)
    }
}

/// Every metric, in the order in which they are shown.
#[must_use]
pub fn metrics() -> &'static [Metric] {
    METRICS
}

const METRICS: &[Metric] = &[
    gauge(
        "keelgate_node_info",
        &["version", "role"],
        "Always 1; the labels tell what the node is",
        |facts, samples| samples.add(&[&facts.version, &facts.role], Some(1.0)),
    ),
    gauge(
        "keelgate_source_serving",
        &["source"],
        "1 for the source of what is served, 0 for the others",
        |facts, samples| {
            let holds = facts.source.serving.as_deref().unwrap_or("none");
            samples.one_of(&[], &SOURCES, holds);
        },
    ),
    gauge(
        "keelgate_source_epoch",
        &[],
        "Epoch of the served snapshot",
        |facts, samples| {
            let position = facts.source.position;
            samples.add(&[], position.and_then(|position| count(position.epoch)));
        },
    ),
    gauge(
        "keelgate_source_revision",
        &[],
        "Revision of the served snapshot",
        |facts, samples| {
            let position = facts.source.position;
            samples.add(&[], position.and_then(|position| count(position.revision)));
        },
    ),
    gauge(
        "keelgate_source_created_at_seconds",
        &[],
        "When the served snapshot was made",
        |facts, samples| samples.add(&[], time(facts.source.created_at)),
    ),
    gauge(
        "keelgate_source_age_seconds",
        &[],
        "How long ago the served snapshot was made",
        |facts, samples| samples.add(&[], age(facts.source.created_at, facts.now)),
    ),
    gauge(
        "keelgate_source_served_since_seconds",
        &[],
        "When the served snapshot began to be served",
        |facts, samples| samples.add(&[], time(facts.source.since)),
    ),
    gauge(
        "keelgate_source_state",
        &["state"],
        "On data planes: 1 for the state of the choice of configuration, 0 for the others",
        |facts, samples| {
            if let Some(state) = &facts.source.state {
                samples.one_of(&[], &SOURCE_STATES, state);
            }
        },
    ),
    gauge(
        "keelgate_source_state_since_seconds",
        &[],
        "On data planes: when that state began",
        |facts, samples| samples.add(&[], time(facts.source.state_since)),
    ),
    gauge(
        "keelgate_source_potentially_stale",
        &[],
        "On data planes: 1 while a control plane may have something newer that this node cannot know of",
        |facts, samples| samples.add(&[], facts.source.potentially_stale.and_then(flag)),
    ),
    gauge(
        "keelgate_source_stale",
        &[],
        "On data planes: 1 while what is served is older than cluster_fallback_config_max_age",
        |facts, samples| samples.add(&[], facts.source.stale.and_then(flag)),
    ),
    gauge(
        "keelgate_source_last_error_seconds",
        &["kind"],
        "On data planes: when something last went wrong with a source, and what kind of thing",
        |facts, samples| {
            if let Some((kind, at)) = &facts.source.last_error {
                samples.add(&[kind], time(Some(*at)));
            }
        },
    ),
    gauge(
        "keelgate_source_quarantined",
        &[],
        "Snapshots that are not tried any more on this node",
        |facts, samples| samples.add(&[], count(facts.source.quarantined)),
    ),
    gauge(
        "keelgate_fallback_state",
        &["storage", "state"],
        "1 for what this node does with the storage, 0 for the others",
        |facts, samples| {
            for storage in &facts.storages {
                samples.one_of(&[&storage.storage], &BACKUP_STATES, &storage.state);
            }
        },
    ),
    gauge(
        "keelgate_fallback_elected",
        STORAGE,
        "1 while this node is the one that writes backups",
        |facts, samples| each(facts, samples, |storage| flag(storage.leading)),
    ),
    gauge(
        "keelgate_fallback_leading_since_seconds",
        STORAGE,
        "When this node began to be the one that writes; only while it is",
        |facts, samples| each(facts, samples, |storage| time(storage.leading_since)),
    ),
    gauge(
        "keelgate_fallback_leader",
        &["storage", "node_id"],
        "1 for the node that writes, as far as this one knows",
        |facts, samples| {
            for storage in &facts.storages {
                if let Some(leader) = &storage.leader {
                    samples.add(&[&storage.storage, leader], Some(1.0));
                }
            }
        },
    ),
    gauge(
        "keelgate_fallback_fencing",
        &["storage", "mode"],
        "1 for the mode that the storage is written in, 0 for the others; none: it cannot compare",
        |facts, samples| {
            for storage in &facts.storages {
                let mode = storage.fencing.as_deref().unwrap_or("unknown");
                samples.one_of(&[&storage.storage], &FENCINGS, mode);
            }
        },
    ),
    gauge(
        "keelgate_fallback_last_attempt_seconds",
        STORAGE,
        "When this node last began to write a backup",
        |facts, samples| each(facts, samples, |storage| time(storage.last_attempt)),
    ),
    gauge(
        "keelgate_fallback_last_success_seconds",
        STORAGE,
        "When the storage was last seen to hold the newest snapshot, read back and verified",
        |facts, samples| each(facts, samples, |storage| time(storage.last_success)),
    ),
    gauge(
        "keelgate_fallback_age_seconds",
        STORAGE,
        "How long ago that was",
        |facts, samples| {
            each(facts, samples, |storage| {
                age(storage.last_success, facts.now)
            });
        },
    ),
    gauge(
        "keelgate_fallback_latency_seconds",
        STORAGE,
        "How long the last backup took, from the first write to the verified read",
        |facts, samples| each(facts, samples, |storage| storage.latency.and_then(span)),
    ),
    gauge(
        "keelgate_fallback_size_bytes",
        STORAGE,
        "Size of the stored snapshot",
        |facts, samples| each(facts, samples, |storage| storage.bytes.and_then(count)),
    ),
    gauge(
        "keelgate_fallback_stored_epoch",
        STORAGE,
        "Epoch of the stored snapshot",
        |facts, samples| {
            each(facts, samples, |storage| {
                storage.stored.and_then(|stored| count(stored.epoch))
            });
        },
    ),
    gauge(
        "keelgate_fallback_stored_revision",
        STORAGE,
        "Revision of the stored snapshot",
        |facts, samples| {
            each(facts, samples, |storage| {
                storage.stored.and_then(|stored| count(stored.revision))
            });
        },
    ),
    gauge(
        "keelgate_fallback_wanted_epoch",
        STORAGE,
        "Epoch of the snapshot that this node wants stored",
        |facts, samples| {
            each(facts, samples, |storage| {
                storage.wanted.and_then(|wanted| count(wanted.epoch))
            });
        },
    ),
    gauge(
        "keelgate_fallback_wanted_revision",
        STORAGE,
        "Revision of the snapshot that this node wants stored",
        |facts, samples| {
            each(facts, samples, |storage| {
                storage.wanted.and_then(|wanted| count(wanted.revision))
            });
        },
    ),
    counter(
        "keelgate_fallback_failures_total",
        &["storage", "kind"],
        "What went wrong with the storage since the start",
        |facts, samples| {
            for storage in &facts.storages {
                for (kind, times) in &storage.failures {
                    samples.add(&[&storage.storage, kind], count(*times));
                }
            }
        },
    ),
    gauge(
        "keelgate_cluster_control_plane_connected",
        &[],
        "On data planes: 1 while connected to a control plane",
        |facts, samples| samples.add(&[], facts.cluster.control_plane_connected.and_then(flag)),
    ),
    gauge(
        "keelgate_cluster_data_planes",
        &[],
        "On control planes: data planes that are connected",
        |facts, samples| samples.add(&[], facts.cluster.data_planes.and_then(count)),
    ),
    gauge(
        "keelgate_upstream_target_health",
        &["upstream", "target", "address", "state"],
        "1 for the health of an address of a target, 0 for the others; only of targets that are checked, or whose name cannot be resolved",
        |facts, samples| {
            for fact in &facts.targets {
                if fact.state == UNCHECKED {
                    continue;
                }
                let labels = [&*fact.upstream, &fact.target, &fact.address];
                samples.one_of(&labels, &TARGET_STATES, &fact.state);
            }
        },
    ),
    gauge(
        "kong_upstream_target_health",
        &["upstream", "target", "address", "state", "subsystem"],
        "1 for the health of an address of a target, 0 for the others; where the plugin `prometheus` has `upstream_health_metrics`",
        |facts, samples| {
            if !facts.kong_target_health {
                return;
            }
            for fact in &facts.targets {
                for state in [UNCHECKED, "healthy", "unhealthy", "dns_error"] {
                    let labels = [&*fact.upstream, &fact.target, &fact.address, state, "http"];
                    samples.add(&labels, flag(fact.state == state));
                }
            }
        },
    ),
    gauge(
        "kong_node_info",
        &["node_id", "version"],
        "Always 1; tells the node and the version of Kong that it is compatible with",
        |facts, samples| samples.add(&[&facts.node_id, &facts.kong_version], flag(true)),
    ),
    gauge(
        "kong_datastore_reachable",
        &[],
        "1 while what the configuration is kept in can be reached",
        |facts, samples| samples.add(&[], flag(facts.datastore_reachable)),
    ),
    gauge(
        "kong_nginx_connections_total",
        &["node_id", "subsystem", "state"],
        "Connections of clients by what is being done with them; since the start: accepted, handled, and requests as total",
        |facts, samples| {
            let Some(traffic) = &facts.traffic else {
                return;
            };
            for (state, number) in [
                ("accepted", traffic.accepted),
                ("handled", traffic.handled),
                ("total", traffic.requests),
                ("active", traffic.active),
                ("reading", traffic.reading),
                ("writing", traffic.writing),
                ("waiting", traffic.waiting),
            ] {
                samples.add(&[&facts.node_id, "http", state], count(number));
            }
        },
    ),
    gauge(
        "kong_nginx_requests_total",
        &["node_id", "subsystem"],
        "Requests since the start",
        |facts, samples| {
            if let Some(traffic) = &facts.traffic {
                samples.add(&[&facts.node_id, "http"], count(traffic.requests));
            }
        },
    ),
    gauge(
        "keelgate_stream_sessions_open",
        &["protocol"],
        "Sessions of streams that are open",
        |facts, samples| {
            for stream in &facts.streams {
                samples.add(&[&stream.protocol], count(stream.open));
            }
        },
    ),
    counter(
        "keelgate_stream_sessions_total",
        &["protocol", "code"],
        "Sessions of streams that have ended, by the status in their log",
        |facts, samples| {
            for stream in &facts.streams {
                for (status, sessions) in &stream.sessions {
                    let labels = [&*stream.protocol, &status.to_string()];
                    samples.add(&labels, count(*sessions));
                }
            }
        },
    ),
    counter(
        "keelgate_stream_bytes_total",
        &["protocol", "direction"],
        "Bytes that sessions of streams have received from clients (ingress) and sent to them (egress), counted when a session ends",
        |facts, samples| {
            for stream in &facts.streams {
                samples.add(&[&stream.protocol, "ingress"], count(stream.received));
                samples.add(&[&stream.protocol, "egress"], count(stream.sent));
            }
        },
    ),
    counter(
        "keelgate_proxy_full_total",
        &[],
        "Times that a worker stopped accepting because it served as many connections as it may",
        |facts, samples| {
            let traffic = facts.traffic.as_ref();
            samples.add(&[], traffic.and_then(|traffic| count(traffic.full)));
        },
    ),
    counter(
        "keelgate_access_log_dropped_total",
        &[],
        "Lines of the access log that were lost because they came faster than they could be written",
        |facts, samples| {
            let traffic = facts.traffic.as_ref();
            samples.add(
                &[],
                traffic.and_then(|traffic| count(traffic.lines_dropped)),
            );
        },
    ),
    counter(
        "keelgate_plugin_records_dropped_total",
        &[],
        "Records of logging plugins that were lost because their receivers were too slow or away",
        |facts, samples| {
            let traffic = facts.traffic.as_ref();
            samples.add(
                &[],
                traffic.and_then(|traffic| count(traffic.records_dropped)),
            );
        },
    ),
];
