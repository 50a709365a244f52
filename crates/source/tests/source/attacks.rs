//! The attacks that The Update Framework lists, tried by somebody who can write to the storages of a
//! data plane (and, where it says so, to its disk), but has no key of the cluster.
//!
//! | attack | what stops it |
//! |---|---|
//! | rollback | nothing older than what serves, or than what the cache remembers, is used |
//! | freeze | the age bound; control planes restate what does not change |
//! | mix and match | the identity is signed: of another cluster, prefix or version, it is what it is |
//! | fast forward | an unsigned claim is refused; a signed one ends with the next epoch |
//! | endless data | everything that is read has a bound |
//! | wrong key, truncated, flipped bit | the signature, the digest |

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use keelgate_fallback::{Layout, Verify};
use keelgate_snapshot::{
    MAX_DOCUMENT_BYTES, Position, SealingKeys, Signer, Snapshot, Verifier, build, restate,
};
use keelgate_source::{AgeBound, StalePolicy, State};
use keelgate_sync::Event;
use uuid::Uuid;

use crate::support::*;

/// A cluster with its key.
struct Cluster {
    id: Uuid,
    signer: Signer,
    cert: String,
}

impl Cluster {
    fn new(id: u128) -> Self {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let params = rcgen::CertificateParams::new(vec!["kong_clustering".into()]).unwrap();
        let cert = params.self_signed(&key).unwrap().pem();
        Self {
            id: Uuid::from_u128(id),
            signer: Signer::from_pem(&cert, &key.serialize_pem()).unwrap(),
            cert,
        }
    }

    fn verify(&self) -> Verify {
        let verifier = Verifier::shared(&self.cert).unwrap();
        Arc::new(move |document| verifier.verify(document))
    }

    fn snapshot(&self, epoch: u64, revision: u64) -> Snapshot {
        self.made(epoch, revision, SystemTime::now())
    }

    fn made(&self, epoch: u64, revision: u64, at: SystemTime) -> Snapshot {
        let config = serde_json::json!({"_format_version": "3.0", "note": [epoch, revision]});
        let position = Position {
            cluster_id: self.id,
            epoch,
            revision,
        };
        build(&config, position, VERSION, at, Some(&self.signer)).unwrap()
    }

    /// A document of a revision, as it stands in a storage.
    fn document(&self, revision: u64) -> Bytes {
        self.snapshot(1, revision).document().clone()
    }

    /// A data plane of this cluster.
    fn bed(&self) -> Bed {
        Bed {
            verify: self.verify(),
            ..Bed::new()
        }
    }
}

fn hours(n: u64) -> Duration {
    Duration::from_secs(3600 * n)
}

#[tokio::test]
async fn rollback_an_older_snapshot_never_replaces_what_serves() {
    let cluster = Cluster::new(1);
    let bed = cluster.bed();
    bed.store("backup", cluster.document(7)).await;
    let life = bed.start(&["backup"]);
    life.refuse_dial().await;
    life.serves("storage", 7).await;
    bed.store("backup", cluster.document(5)).await;
    // What comes after it is seen: so it was seen, too.
    bed.store("backup", "garbage").await;
    life.tells("malformed").await;
    assert_eq!(bed.activated(), [7]);
    life.arbiter.stop().await;
}

#[tokio::test]
async fn rollback_a_restart_is_no_way_back_either() {
    let cluster = Cluster::new(1);
    let bed = cluster.bed();
    bed.store("backup", cluster.document(7)).await;
    let life = bed.start(&["backup"]);
    life.refuse_dial().await;
    life.serves("storage", 7).await;
    life.arbiter.stop().await;
    bed.store("backup", cluster.document(5)).await;
    let life = bed.start(&["backup"]);
    life.refuse_dial().await;
    life.serves("cache", 7).await;
    life.arbiter.stop().await;
    assert_eq!(bed.activated().last(), Some(&7));
}

#[tokio::test]
async fn freeze_a_storage_that_stands_still_raises_the_alarm_until_it_is_restated() {
    let cluster = Cluster::new(1);
    let mut bed = cluster.bed();
    bed.age = AgeBound::new(hours(1), StalePolicy::Serve);
    let old = cluster.made(1, 7, SystemTime::now() - hours(2));
    bed.store("backup", old.document().clone()).await;
    let life = bed.start(&["backup"]);
    life.refuse_dial().await;
    let report = life.until(|report| report.stale).await;
    assert_eq!(report.serving.unwrap().identity.revision, 7);
    assert!(report.potentially_stale);
    life.tells("stale").await;

    let restated = restate(&old, VERSION, SystemTime::now(), &cluster.signer).unwrap();
    let mut served = life.arbiter.served();
    bed.store("backup", restated.document().clone()).await;
    let report = life.until(|report| !report.stale).await;
    assert_eq!(report.serving.unwrap().created_at, restated.created_at());
    let fresh = |served: &Option<Snapshot>| {
        served
            .as_ref()
            .is_some_and(|s| s.created_at() == restated.created_at())
    };
    served.wait_for(fresh).await.unwrap();
    assert_eq!(bed.activated(), [7], "a restatement is no change");
    life.arbiter.stop().await;

    // The cache has followed, so that the next life is not stale.
    let life = bed.start(&[]);
    life.refuse_dial().await;
    assert!(!life.serves("cache", 7).await.stale);
    life.arbiter.stop().await;
}

#[tokio::test]
async fn freeze_what_is_too_old_is_refused_where_the_policy_says_so() {
    let cluster = Cluster::new(1);
    let mut bed = cluster.bed();
    bed.deadline = Duration::from_millis(20);
    let old = cluster.made(1, 7, SystemTime::now() - hours(2));
    // It was served by a former life and lies in the cache, too.
    let life = bed.start(&[]);
    life.connect().await;
    life.send_document(&old).await;
    life.serves("control_plane", 7).await;
    life.arbiter.stop().await;

    bed.age = AgeBound::new(hours(1), StalePolicy::Refuse);
    bed.store("backup", old.document().clone()).await;
    let life = bed.start(&["backup"]);
    life.refuse_dial().await;
    let report = life.until(|report| report.state == State::Empty).await;
    assert!(report.serving.is_none());
    let from_both = |report: &keelgate_source::Report| {
        let stale = report.tried.iter().filter(|t| t.trouble.kind == "stale");
        stale.count() >= 2
    };
    life.until(from_both).await;

    let restated = restate(&old, VERSION, SystemTime::now(), &cluster.signer).unwrap();
    bed.store("backup", restated.document().clone()).await;
    assert!(!life.serves("storage", 7).await.stale);
    life.arbiter.stop().await;
}

#[tokio::test]
async fn freeze_what_already_serves_goes_on_whatever_the_policy() {
    let cluster = Cluster::new(1);
    let mut bed = cluster.bed();
    bed.age = AgeBound::new(Duration::from_millis(50), StalePolicy::Refuse);
    let life = bed.start(&[]);
    life.connect().await;
    life.send_document(&cluster.snapshot(1, 7)).await;
    assert!(!life.serves("control_plane", 7).await.stale);
    life.tell(Event::Disconnected {
        address: CP.into(),
        reason: "killed".into(),
    })
    .await;
    let report = life.until(|report| report.stale).await;
    assert_eq!(report.serving.unwrap().identity.revision, 7);
    life.arbiter.stop().await;
}

#[tokio::test]
async fn freeze_what_a_connected_control_plane_of_kong_stands_behind_stays_fresh() {
    let mut bed = Bed::new();
    bed.age = AgeBound::new(Duration::from_millis(400), StalePolicy::Refuse);
    let life = bed.start(&[]);
    life.connect().await;
    // Years ago: the configuration has not been changed since.
    let sent = r#"{"type":"reconfigure","timestamp":1600000000.5,"config_table":{}}"#;
    life.tell(Event::Document(sent.into())).await;
    let report = life.until(|report| report.state == State::Current).await;
    let mut served = life.arbiter.served();
    let first = report.serving.unwrap().created_at;
    for _ in 0..2 {
        served.changed().await.unwrap();
    }
    let later = served.borrow().as_ref().unwrap().created_at();
    assert!(later > first && !life.report.borrow().stale);
    life.arbiter.stop().await;
    assert_eq!(bed.activated().len(), 1, "nothing was swapped");

    // The cache has followed: what was confirmed a moment ago serves after a restart.
    bed.age = AgeBound::new(hours(1), StalePolicy::Refuse);
    let life = bed.start(&[]);
    life.refuse_dial().await;
    life.until(|report| report.serving.as_ref().is_some_and(|s| s.source == "cache"))
        .await;
    life.arbiter.stop().await;
}

#[tokio::test]
async fn mix_and_match_a_snapshot_of_another_cluster_with_the_same_key_is_not_followed() {
    let cluster = Cluster::new(1);
    let other = Cluster {
        id: Uuid::from_u128(2),
        ..Cluster::new(0)
    };
    let bed = cluster.bed();
    bed.store("backup", cluster.document(7)).await;
    let life = bed.start(&["backup"]);
    life.refuse_dial().await;
    life.serves("storage", 7).await;
    // Two clusters may share a certificate: the identity alone tells them apart.
    let config = serde_json::json!({"_format_version": "3.0"});
    let position = Position {
        cluster_id: other.id,
        epoch: 9,
        revision: 9,
    };
    let now = SystemTime::now();
    let foreign = build(&config, position, VERSION, now, Some(&cluster.signer)).unwrap();
    bed.store("backup", foreign.document().clone()).await;
    life.tells("foreign_cluster").await;
    assert_eq!(bed.activated(), [7]);
    life.arbiter.stop().await;
}

#[tokio::test]
async fn mix_and_match_an_object_of_another_prefix_is_refused_by_its_key() {
    let (cluster, other) = (Cluster::new(1), Cluster::new(2));
    let bed = cluster.bed();
    bed.store("one", other.document(9)).await;
    bed.store("two", cluster.document(7)).await;
    let life = bed.start(&["one", "two"]);
    life.refuse_dial().await;
    life.serves("storage", 7).await;
    life.tells("bad_signature").await;
    assert_eq!(bed.activated(), [7]);
    life.arbiter.stop().await;
}

#[tokio::test]
async fn mix_and_match_an_old_object_of_another_version_is_older_still() {
    let cluster = Cluster::new(1);
    let bed = cluster.bed();
    bed.store("backup", cluster.document(7)).await;
    let life = bed.start(&["backup"]);
    life.refuse_dial().await;
    life.serves("storage", 7).await;
    bed.put(
        "backup",
        &Layout::new("0.0.9").config(),
        cluster.document(5),
    )
    .await;
    bed.store("backup", "{").await;
    life.tells("truncated").await;
    assert_eq!(bed.activated(), [7]);
    life.arbiter.stop().await;
}

#[tokio::test]
async fn fast_forward_an_unsigned_claim_is_refused_and_the_history_serves() {
    let cluster = Cluster::new(1);
    let bed = cluster.bed();
    let good = cluster.snapshot(1, 7);
    let layout = Layout::new(VERSION);
    bed.put(
        "backup",
        &layout.history(good.identity()),
        good.document().clone(),
    )
    .await;
    let text = String::from_utf8(good.document().to_vec()).unwrap();
    let huge = text.replacen("\"revision\":7", &format!("\"revision\":{}", u64::MAX), 1);
    bed.store("backup", huge).await;
    let life = bed.start(&["backup"]);
    life.refuse_dial().await;
    life.serves("storage", 7).await;
    life.tells("tampered").await;
    life.arbiter.stop().await;
}

#[tokio::test]
async fn fast_forward_a_cluster_recovers_from_a_signed_one_with_the_next_epoch() {
    let cluster = Cluster::new(1);
    let bed = cluster.bed();
    let huge = cluster.snapshot(1, u64::MAX);
    bed.store("backup", huge.document().clone()).await;
    let life = bed.start(&["backup"]);
    life.refuse_dial().await;
    life.serves("storage", u64::MAX).await;
    life.connect().await;
    life.send_document(&cluster.snapshot(1, 8)).await;
    life.tells("control_plane_behind").await;
    life.send_document(&cluster.snapshot(2, 1)).await;
    life.serves("control_plane", 1).await;
    life.arbiter.stop().await;
    assert_eq!(bed.activated(), [u64::MAX, 1]);
}

#[tokio::test]
async fn endless_data_is_not_read_from_storage_or_cache() {
    let cluster = Cluster::new(1);
    let bed = cluster.bed();
    bed.store("one", "").await;
    bed.store("two", cluster.document(7)).await;
    let node = bed.folder.path().join("node/cache");
    std::fs::create_dir_all(&node).unwrap();
    let endless = [
        bed.folder
            .path()
            .join("one")
            .join(Layout::new(VERSION).config()),
        node.join("current.json"),
    ];
    for path in endless {
        // A hole takes no space; whoever reads it reads zeroes.
        let file = File::create(path).unwrap();
        file.set_len(MAX_DOCUMENT_BYTES as u64 + 1).unwrap();
    }
    let life = bed.start(&["one", "two"]);
    life.refuse_dial().await;
    life.serves("storage", 7).await;
    life.tells("too_large").await;
    life.tells("cache_refused").await;
    life.arbiter.stop().await;
}

#[tokio::test]
async fn wrong_key_nobody_else_signs_for_the_cluster() {
    let (cluster, forger) = (Cluster::new(1), Cluster::new(1));
    let bed = cluster.bed();
    bed.store("one", forger.document(9)).await;
    bed.store("two", cluster.document(7)).await;
    let life = bed.start(&["one", "two"]);
    life.refuse_dial().await;
    life.serves("storage", 7).await;
    life.tells("bad_signature").await;
    life.connect().await;
    life.send_document(&forger.snapshot(1, 10)).await;
    life.tells("control_plane_refused").await;
    assert_eq!(bed.activated(), [7]);
    life.arbiter.stop().await;
}

#[tokio::test]
async fn truncated_the_next_best_serves() {
    let cluster = Cluster::new(1);
    let bed = cluster.bed();
    let whole = cluster.document(9);
    bed.store("one", whole.slice(..whole.len() - 1)).await;
    bed.store("two", cluster.document(7)).await;
    let life = bed.start(&["one", "two"]);
    life.refuse_dial().await;
    life.serves("storage", 7).await;
    life.tells("truncated").await;
    life.arbiter.stop().await;
}

#[tokio::test]
async fn flipped_bit_in_cache_or_storage_the_next_best_serves() {
    let cluster = Cluster::new(1);
    let bed = cluster.bed();
    let life = bed.start(&[]);
    life.connect().await;
    for revision in [7, 8] {
        life.send_document(&cluster.snapshot(1, revision)).await;
        life.serves("control_plane", revision).await;
    }
    life.arbiter.stop().await;
    let flip = |bytes: &mut Vec<u8>| {
        // In the digits of the revision's note: as good a document as before.
        let at = bytes
            .windows(6)
            .rposition(|window| window == b"\"note\"")
            .unwrap();
        bytes[at + 10] ^= 1;
    };
    let current = bed.folder.path().join("node/cache/current.json");
    let mut bytes = std::fs::read(&current).unwrap();
    flip(&mut bytes);
    std::fs::write(&current, bytes).unwrap();
    let mut bytes = cluster.document(9).to_vec();
    flip(&mut bytes);
    bed.store("backup", bytes).await;
    let life = bed.start(&["backup"]);
    life.refuse_dial().await;
    life.tells("tampered").await;
    life.tells("cache_refused").await;
    life.serves("cache", 7).await;
    life.arbiter.stop().await;
}

#[tokio::test]
async fn sealed_documents_serve_with_the_key_and_are_refused_without() {
    let cluster = Cluster::new(1);
    let keys = Arc::new(SealingKeys::new([("a", &[7; 32])]).unwrap());
    let mut bed = cluster.bed();
    bed.deadline = Duration::from_millis(20);
    let sealed = keys.seal(&cluster.snapshot(1, 7)).unwrap();
    bed.store("backup", sealed).await;
    let life = bed.start(&["backup"]);
    life.refuse_dial().await;
    life.tells("sealed").await;
    life.until(|report| report.state == State::Empty).await;
    life.arbiter.stop().await;

    let (inner, opening) = (cluster.verify(), Arc::clone(&keys));
    bed.verify = Arc::new(move |document| opening.verify(document, |plain| inner(plain)));
    bed.sealing = Some(keys);
    let life = bed.start(&["backup"]);
    life.refuse_dial().await;
    life.serves("storage", 7).await;
    life.arbiter.stop().await;
    let kept = std::fs::read(bed.folder.path().join("node/cache/current.json")).unwrap();
    assert!(keelgate_snapshot::is_sealed(&kept));
    let life = bed.start(&[]);
    life.refuse_dial().await;
    life.serves("cache", 7).await;
    life.arbiter.stop().await;
}
