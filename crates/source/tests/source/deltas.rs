//! A data plane that follows its control plane by deltas.

use std::sync::Arc;
use std::time::SystemTime;

use keelgate_snapshot::{Fragments, Position, Signer, Snapshot, Verifier, build_after, delta};
use keelgate_sync::Event;
use serde_json::json;
use uuid::Uuid;

use crate::support::*;

struct Cluster {
    signer: Signer,
    cert: String,
}

impl Cluster {
    fn new() -> Self {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let params = rcgen::CertificateParams::new(vec!["kong_clustering".into()]).unwrap();
        let cert = params.self_signed(&key).unwrap().pem();
        Self {
            signer: Signer::from_pem(&cert, &key.serialize_pem()).unwrap(),
            cert,
        }
    }

    fn bed(&self) -> Bed {
        let (whole, step) = (self.verifier(), self.verifier());
        Bed {
            verify: Arc::new(move |document| whole.verify(document)),
            verify_delta: Some(Arc::new(move |base, message| {
                step.verify_delta(base, message)
            })),
            ..Bed::new()
        }
    }

    fn verifier(&self) -> Verifier {
        Verifier::shared(&self.cert).unwrap()
    }

    fn snapshot(&self, revision: u64) -> Snapshot {
        let name = |number: u64| match number {
            3 => format!("s{revision}"),
            _ => "s".repeat(40),
        };
        let services: Vec<_> = (0..100)
            .map(|n| json!({"id": Uuid::from_u128(n.into()), "name": name(n)}))
            .collect();
        let table = json!({"_format_version": "3.0", "services": services});
        let fragments = Fragments::of(table.as_object().unwrap()).unwrap();
        let position = Position {
            cluster_id: Uuid::from_u128(1),
            epoch: 1,
            revision,
        };
        let (at, signer) = (SystemTime::now(), Some(&self.signer));
        build_after(fragments, None, position, VERSION, at, signer).unwrap()
    }

    fn delta(&self, from: u64, to: u64) -> Event {
        Event::Delta(delta(&self.snapshot(from), &self.snapshot(to)).unwrap())
    }
}

/// Waits until the whole was asked for so many times.
async fn wants(life: &mut Life, times: u64) {
    let wanted = life.applied.wait_for(|applied| applied.wanted == times);
    wanted.await.unwrap();
}

#[tokio::test]
async fn deltas_lead_on_and_the_disk_has_the_whole() {
    let cluster = Cluster::new();
    let bed = cluster.bed();
    let life = bed.start(&[]);
    life.connect().await;
    life.send_document(&cluster.snapshot(1)).await;
    life.serves("control_plane", 1).await;
    life.tell(cluster.delta(1, 2)).await;
    life.serves("control_plane", 2).await;
    life.tell(cluster.delta(2, 5)).await;
    life.serves("control_plane", 5).await;
    life.arbiter.stop().await;
    let life = bed.start(&[]);
    life.refuse_dial().await;
    life.serves("cache", 5).await;
    life.arbiter.stop().await;
}

#[tokio::test]
async fn a_delta_that_leads_nowhere_harms_nothing_and_the_whole_is_asked_for_once() {
    let cluster = Cluster::new();
    let bed = cluster.bed();
    let mut life = bed.start(&[]);
    life.connect().await;
    life.send_document(&cluster.snapshot(1)).await;
    life.serves("control_plane", 1).await;
    life.tell(cluster.delta(2, 3)).await;
    wants(&mut life, 1).await;
    let report = life.tells("delta_refused").await;
    assert_eq!(report.serving.unwrap().identity.revision, 1);
    // Until the whole is there, nothing leads on from anywhere.
    life.tell(cluster.delta(3, 4)).await;
    life.send_document(&cluster.snapshot(4)).await;
    life.serves("control_plane", 4).await;
    life.tell(cluster.delta(4, 6)).await;
    life.serves("control_plane", 6).await;
    assert_eq!(life.applied.borrow().wanted, 1);
    assert_eq!(bed.activated(), [1, 4, 6]);
    life.arbiter.stop().await;
}

#[tokio::test]
async fn a_delta_of_a_stranger_or_of_the_past_is_of_no_use() {
    let (cluster, stranger) = (Cluster::new(), Cluster::new());
    let bed = cluster.bed();
    let mut life = bed.start(&[]);
    life.connect().await;
    life.send_document(&cluster.snapshot(5)).await;
    life.serves("control_plane", 5).await;
    life.tell(stranger.delta(5, 6)).await;
    wants(&mut life, 1).await;
    life.send_document(&cluster.snapshot(5)).await;
    // A true one that leads back: it is verified, and older than what serves.
    life.tell(cluster.delta(5, 4)).await;
    life.tells("control_plane_behind").await;
    assert_eq!(bed.activated(), [5]);
    life.arbiter.stop().await;
}

#[tokio::test]
async fn a_delta_before_any_document_asks_for_the_whole() {
    let cluster = Cluster::new();
    let bed = cluster.bed();
    let mut life = bed.start(&[]);
    life.connect().await;
    life.tell(cluster.delta(1, 2)).await;
    wants(&mut life, 1).await;
    life.send_document(&cluster.snapshot(2)).await;
    life.serves("control_plane", 2).await;
    life.arbiter.stop().await;
}
