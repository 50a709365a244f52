//! Publishers that encrypt.

use std::sync::Arc;

use keelgate_fallback::{PublisherSettings, PublisherState, Verify};
use keelgate_snapshot::{SealingKeys, is_sealed, sealed_header};
use tokio::sync::watch;

use crate::cluster::{Cluster, settings, stored, until};
use crate::memory::Memory;

const CONFIG: &str = "0.1.0/config.json";

fn keys(ids: &[&str]) -> Arc<SealingKeys> {
    // The key of an id is the same for every node.
    let keys: Vec<[u8; 32]> = ids.iter().map(|id| [id.as_bytes()[0]; 32]).collect();
    Arc::new(SealingKeys::new(ids.iter().copied().zip(&keys)).unwrap())
}

/// Settings and check of a node with these keys.
fn sealing(cluster: &Cluster, keys: &Arc<SealingKeys>) -> (PublisherSettings, Verify) {
    let (sealer, opener) = (Arc::clone(keys), Arc::clone(keys));
    let verify = Arc::clone(&cluster.verify);
    let settings = PublisherSettings {
        seal: Some(Arc::new(move |snapshot| {
            sealer.seal(snapshot).map_err(|error| error.to_string())
        })),
        ..settings()
    };
    let verify: Verify =
        Arc::new(move |document| opener.verify(document, |document| verify(document)));
    (settings, verify)
}

struct Node<'a> {
    cluster: &'a Cluster,
    memory: &'a Memory,
}

impl Node<'_> {
    /// Runs a node until it has stored a revision or says why not; gives the last state.
    async fn publish(&self, ids: &[&str], revision: u64) -> PublisherState {
        let storages = [self.memory.storage()];
        let (_sender, snapshots) = watch::channel(Some(self.cluster.snapshot(revision)));
        let (settings, verify) = match ids {
            [] => (settings(), Arc::clone(&self.cluster.verify)),
            ids => sealing(self.cluster, &keys(ids)),
        };
        let publisher =
            keelgate_fallback::Publisher::start(&storages, &settings, &verify, None, &snapshots);
        let status = until(&publisher.statuses()[0], |status| {
            stored(revision)(status) || status.state == PublisherState::Blocked
        })
        .await;
        publisher.stop().await;
        status.state
    }

    fn key_id(&self) -> Option<String> {
        let document = self.memory.bytes(CONFIG).unwrap();
        is_sealed(&document).then(|| sealed_header(&document).unwrap().key_id)
    }
}

#[tokio::test(start_paused = true)]
async fn what_lies_there_is_sealed_once_keys_are_set_and_again_with_a_new_key() {
    let (memory, cluster) = (Memory::new("memory"), Cluster::new());
    let node = Node {
        cluster: &cluster,
        memory: &memory,
    };
    for (ids, sealed_with) in [
        (&[][..], None),
        (&["a"], Some("a")),
        (&["b", "a"], Some("b")),
        (&["b"], Some("b")),
    ] {
        assert_eq!(node.publish(ids, 1).await, PublisherState::Stored);
        assert_eq!(node.key_id().as_deref(), sealed_with);
        for key in memory.keys().iter().filter(|key| key.contains("/history/")) {
            let kept = memory.bytes(key).unwrap();
            assert_eq!(is_sealed(&kept), sealed_with.is_some(), "{key}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_without_keys_does_not_write_in_clear_what_was_sealed() {
    let (memory, cluster) = (Memory::new("memory"), Cluster::new());
    let node = Node {
        cluster: &cluster,
        memory: &memory,
    };
    assert_eq!(node.publish(&["a"], 1).await, PublisherState::Stored);
    for revision in [1, 2] {
        assert_eq!(node.publish(&[], revision).await, PublisherState::Blocked);
        assert_eq!(node.key_id().as_deref(), Some("a"));
    }
    memory.remove(|key| key == CONFIG);
    assert_eq!(node.publish(&[], 2).await, PublisherState::Stored);
}

#[tokio::test(start_paused = true)]
async fn what_is_sealed_with_a_key_that_is_not_known_is_replaced_only_if_it_claims_to_be_older() {
    let (memory, cluster) = (Memory::new("memory"), Cluster::new());
    let node = Node {
        cluster: &cluster,
        memory: &memory,
    };
    assert_eq!(node.publish(&["a"], 5).await, PublisherState::Stored);
    assert_eq!(node.publish(&["b"], 4).await, PublisherState::Blocked);
    assert_eq!(node.key_id().as_deref(), Some("a"));
    assert_eq!(node.publish(&["b"], 6).await, PublisherState::Stored);
    assert_eq!(node.key_id().as_deref(), Some("b"));
}
