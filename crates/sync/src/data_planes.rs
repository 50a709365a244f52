//! The record of data planes that a control plane keeps: `GET /clustering/data-planes`.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use keelgate_snapshot::Identity;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::sync::watch;
use uuid::Uuid;

use crate::{Rejection, SyncStatus};

/// Most data planes that are recorded. Nodes choose their own ids, and one that takes a new id at
/// each start must not fill the memory; the longest unseen one makes room.
const MAX_RECORDS: usize = 65_536;

/// A data plane as the Admin API shows it: Kong's fields, and [`Live`] in `keelgate`.
#[derive(Clone, Debug, Serialize)]
pub struct DataPlane {
    /// Id of the node.
    pub id: Uuid,
    /// Name of its host, as it tells.
    pub hostname: String,
    /// Address from which it is connected.
    pub ip: IpAddr,
    /// The level of Kong's interfaces that it speaks.
    pub version: String,
    /// Kong's hash of the configuration that it runs; 32 zeroes when none.
    pub config_hash: String,
    /// Whether it can get the configuration.
    pub sync_status: SyncStatus,
    /// When it was last heard, in seconds since 1970.
    pub last_seen: u64,
    /// When this record last changed, in seconds since 1970.
    pub updated_at: u64,
    /// Labels that its operator gave it.
    pub labels: Option<Map<String, Value>>,
    /// About its certificate.
    pub cert_details: CertificateDetails,
    /// Remote procedures that it offers: none in this protocol.
    pub rpc_capabilities: Vec<String>,
    /// Seconds until the record is dropped if the node is not heard again.
    pub ttl: u64,
    /// What Kong does not tell.
    pub keelgate: Live,
}

/// About the certificate of a data plane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CertificateDetails {
    /// When it expires, in seconds since 1970.
    pub expiry_timestamp: i64,
}

/// The state of a data plane beyond Kong's record.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Live {
    /// Whether it is connected now.
    pub connected: bool,
    /// The snapshot that it runs, if it is a node of this software.
    pub identity: Option<Identity>,
    /// Where that snapshot came from.
    pub source: Option<String>,
    /// The last snapshot that it refused, until it runs another.
    pub rejection: Option<Rejection>,
}

/// All data planes that this control plane has heard, in memory.
#[derive(Debug)]
pub struct DataPlanes {
    purge_delay: Duration,
    records: Mutex<HashMap<Uuid, Record>>,
    changes: watch::Sender<u64>,
}

#[derive(Debug)]
struct Record {
    data_plane: DataPlane,
    /// The connection that wrote it last: an older one of the same node may end after it.
    connection: u64,
}

impl DataPlanes {
    /// No data planes yet; a record is dropped when its node was not heard for `purge_delay`
    /// (`cluster_data_plane_purge_delay`).
    pub fn new(purge_delay: Duration) -> Arc<Self> {
        Arc::new(Self {
            purge_delay,
            records: Mutex::default(),
            changes: watch::Sender::new(0),
        })
    }

    /// All records, by id.
    pub fn list(&self) -> Vec<DataPlane> {
        let now = now();
        let mut records = self.lock();
        self.purge(&mut records, now);
        let mut list: Vec<_> = records
            .values()
            .map(|record| self.show(record, now))
            .collect();
        list.sort_unstable_by_key(|data_plane| data_plane.id);
        list
    }

    /// The record of a node.
    pub fn get(&self, id: Uuid) -> Option<DataPlane> {
        let now = now();
        let mut records = self.lock();
        self.purge(&mut records, now);
        records.get(&id).map(|record| self.show(record, now))
    }

    /// Counts the changes of the records: a receiver can await the next one.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Writes what a connection knows about its node.
    pub(crate) fn put(&self, connection: u64, mut data_plane: DataPlane) {
        let now = now();
        data_plane.updated_at = now;
        let mut records = self.lock();
        if !records.contains_key(&data_plane.id) {
            self.purge(&mut records, now);
            make_room(&mut records);
        }
        records.insert(
            data_plane.id,
            Record {
                data_plane,
                connection,
            },
        );
        drop(records);
        self.changes.send_modify(|count| *count += 1);
    }

    /// Notes that a connection ended, unless the node has a newer one.
    pub(crate) fn disconnected(&self, connection: u64, id: Uuid) {
        let mut records = self.lock();
        let Some(record) = records.get_mut(&id) else {
            return;
        };
        if record.connection != connection {
            return;
        }
        record.data_plane.keelgate.connected = false;
        drop(records);
        self.changes.send_modify(|count| *count += 1);
    }

    fn show(&self, record: &Record, now: u64) -> DataPlane {
        let mut data_plane = record.data_plane.clone();
        let unseen = now.saturating_sub(data_plane.last_seen);
        data_plane.ttl = self.purge_delay.as_secs().saturating_sub(unseen);
        data_plane
    }

    fn purge(&self, records: &mut HashMap<Uuid, Record>, now: u64) {
        let delay = self.purge_delay.as_secs();
        records.retain(|_, record| {
            record.data_plane.keelgate.connected
                || now.saturating_sub(record.data_plane.last_seen) < delay
        });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Record>> {
        // Each change is one assignment: a panic elsewhere leaves no half of it.
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Drops the record that was not seen for the longest time, when there are too many.
fn make_room(records: &mut HashMap<Uuid, Record>) {
    if records.len() < MAX_RECORDS {
        return;
    }
    let oldest = records
        .values()
        .min_by_key(|record| {
            let data_plane = &record.data_plane;
            (data_plane.keelgate.connected, data_plane.last_seen)
        })
        .map(|record| record.data_plane.id);
    if let Some(id) = oldest {
        records.remove(&id);
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn data_plane(id: u128, last_seen: u64, connected: bool) -> DataPlane {
        DataPlane {
            id: Uuid::from_u128(id),
            hostname: "dp".to_owned(),
            ip: Ipv4Addr::LOCALHOST.into(),
            version: "3.9.1".to_owned(),
            config_hash: keelgate_snapshot::EMPTY_CONFIG_HASH.to_owned(),
            sync_status: SyncStatus::Normal,
            last_seen,
            updated_at: 0,
            labels: None,
            cert_details: CertificateDetails::default(),
            rpc_capabilities: Vec::new(),
            ttl: 0,
            keelgate: Live {
                connected,
                ..Live::default()
            },
        }
    }

    #[test]
    fn a_node_that_was_not_heard_is_dropped() {
        let records = DataPlanes::new(Duration::from_secs(100));
        records.put(1, data_plane(1, now() - 10, false));
        records.put(2, data_plane(2, now() - 200, false));
        records.put(3, data_plane(3, now() - 200, true));
        let ids: Vec<_> = records.list().iter().map(|dp| dp.id.as_u128()).collect();
        assert_eq!(ids, [1, 3]);
        assert!((85..=90).contains(&records.list()[0].ttl));
    }

    #[test]
    fn an_older_connection_does_not_end_a_newer_one() {
        let records = DataPlanes::new(Duration::from_secs(100));
        records.put(1, data_plane(1, now(), true));
        records.put(2, data_plane(1, now(), true));
        records.disconnected(1, Uuid::from_u128(1));
        assert!(records.list()[0].keelgate.connected);
        records.disconnected(2, Uuid::from_u128(1));
        assert!(!records.list()[0].keelgate.connected);
    }

    #[test]
    fn the_record_has_the_names_of_kong() {
        let shown = serde_json::to_value(data_plane(1, 5, true)).unwrap();
        assert_eq!(shown["sync_status"], "normal");
        assert_eq!(shown["labels"], Value::Null);
        assert_eq!(shown["cert_details"]["expiry_timestamp"], 0);
        assert_eq!(shown["rpc_capabilities"], Value::Array(Vec::new()));
    }
}
