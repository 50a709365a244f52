use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::*;
use crate::{Fragments, Position, Signer, build, build_after};

struct Cluster {
    signer: Signer,
    verifier: Verifier,
}

fn cluster() -> Cluster {
    let made = rcgen::generate_simple_self_signed(["kong_clustering".to_owned()]).unwrap();
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    Cluster {
        signer: Signer::from_pem(&cert, &key).unwrap(),
        verifier: Verifier::shared(&cert).unwrap(),
    }
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn position(revision: u64) -> Position {
    Position {
        cluster_id: Uuid::from_u128(1),
        epoch: 1,
        revision,
    }
}

fn table(paths: &[&str]) -> Map<String, Value> {
    let routes: Vec<_> = paths
        .iter()
        .enumerate()
        .map(|(number, path)| json!({"id": Uuid::from_u128(number as u128), "paths": [path]}))
        .collect();
    let mut table = json!({"_format_version": "3.0", "_transform": false, "routes": routes});
    table["parameters"] = json!([{"key": "cluster_id"}]);
    table.as_object().unwrap().clone()
}

impl Cluster {
    fn snapshot(&self, revision: u64, paths: &[&str]) -> Snapshot {
        let fragments = Fragments::of(&table(paths)).unwrap();
        let signer = Some(&self.signer);
        build_after(
            fragments,
            None,
            position(revision),
            "0.1.0",
            at(revision),
            signer,
        )
        .unwrap()
    }

    /// As a data plane has it: received whole.
    fn received(&self, snapshot: &Snapshot) -> Snapshot {
        self.verifier.verify(snapshot.document().clone()).unwrap()
    }
}

#[test]
fn fragments_make_the_same_document_as_the_whole() {
    let cluster = cluster();
    let snapshot = cluster.snapshot(7, &["/a", "/b"]);
    let whole = build(&table(&["/a", "/b"]), position(7), "0.1.0", at(7), None).unwrap();
    assert_eq!(snapshot.config_json(), whole.config_json());
    assert_eq!(snapshot.identity(), whole.identity());
    assert_eq!(snapshot.config_hash(), whole.config_hash());
    assert_eq!(snapshot.config_bytes(), whole.config_json().len());
    assert_eq!(cluster.received(&snapshot).identity(), snapshot.identity());
}

#[test]
fn a_delta_leads_to_the_very_document_that_was_not_sent() {
    let cluster = cluster();
    let old = cluster.snapshot(7, &["/a", "/b", "/c"]);
    let next = cluster.snapshot(9, &["/a", "/x"]);
    let message = delta(&old, &next).unwrap();
    assert!(is_delta(&message) && !is_delta(next.document()));
    let base = cluster.received(&old).taken_apart();
    assert_eq!(base.document(), old.document());
    let reached = cluster.verifier.verify_delta(&base, &message).unwrap();
    assert_eq!(reached.document(), next.document());
    assert_eq!(reached.config_hash(), next.config_hash());
    assert!(reached.is_signed());
    // And from there on.
    let last = cluster.snapshot(10, &["/y", "/x"]);
    let message = delta(&next, &last).unwrap();
    let reached = cluster.verifier.verify_delta(&reached, &message).unwrap();
    assert_eq!(reached.document(), last.document());
    assert_eq!(cluster.received(&reached).identity(), last.identity());
}

#[test]
fn an_unchanged_configuration_that_is_stated_anew_is_a_delta_of_nothing() {
    let cluster = cluster();
    let old = cluster.snapshot(7, &["/a"]);
    let stated = crate::restate(&old, "0.1.0", at(99), &cluster.signer).unwrap();
    let message = delta(&old, &stated).unwrap();
    let reached = cluster
        .verifier
        .verify_delta(&cluster.received(&old), &message)
        .unwrap();
    assert_eq!(reached.document(), stated.document());
    assert_eq!(
        (reached.identity(), reached.created_at()),
        (old.identity(), at(99))
    );
}

#[test]
fn a_delta_on_another_base_is_refused() {
    let cluster = cluster();
    let (old, next) = (cluster.snapshot(7, &["/a"]), cluster.snapshot(8, &["/b"]));
    let message = delta(&old, &next).unwrap();
    let other = cluster.received(&cluster.snapshot(6, &["/a"]));
    let refused = cluster.verifier.verify_delta(&other, &message).unwrap_err();
    assert!(matches!(refused, DeltaError::Base { .. }), "{refused}");
}

#[test]
fn what_was_not_signed_is_refused_wherever_it_was_changed() {
    let ours = cluster();
    let old = ours.snapshot(7, &["/a", "/b"]);
    let next = ours.snapshot(8, &["/a", "/c"]);
    let base = ours.received(&old);
    let message = String::from_utf8(delta(&old, &next).unwrap().to_vec()).unwrap();
    let refused = |message: &str| {
        let refused = ours.verifier.verify_delta(&base, message.as_bytes());
        refused.expect_err(message)
    };
    // Another change, and a change left out.
    let error = refused(&message.replace("/c", "/d"));
    let is_mismatch = |error| {
        matches!(
            error,
            DeltaError::Refused(VerifyError::DigestMismatch { .. })
        )
    };
    assert!(is_mismatch(error));
    let mut parsed: Value = serde_json::from_str(&message).unwrap();
    parsed["changes"] = json!({});
    assert!(is_mismatch(refused(&parsed.to_string())));
    // Another head, or one that is none.
    let head = parsed["head"].as_str().unwrap().to_owned();
    for wrong in [
        head.replace("\"revision\":8", "\"revision\":9"),
        head.replace("\"created_at\":8000", "\"created_at\":9000"),
        format!("{head}{{}},\"x\":"),
        format!("{head}{{}},\"config_table\":"),
        head[..head.len() - 1].to_owned(),
        head.split_once(",\"keelgate\"").unwrap().0.to_owned() + ",\"config_table\":",
        String::new(),
    ] {
        parsed = serde_json::from_str(&message).unwrap();
        parsed["head"] = wrong.into();
        refused(&parsed.to_string());
    }
    // Somebody else's signature.
    let foreign = cluster();
    let (old, next) = (
        foreign.snapshot(7, &["/a", "/b"]),
        foreign.snapshot(8, &["/a", "/c"]),
    );
    let message = delta(&old, &next).unwrap();
    refused(std::str::from_utf8(&message).unwrap());
    for garbage in ["", "{}", "{\"type\":\"keelgate_delta\"}", "null"] {
        refused(garbage);
    }
}

#[test]
fn what_is_unsigned_or_mostly_new_travels_whole() {
    let cluster = cluster();
    let old = cluster.snapshot(7, &["/a"]);
    let unsigned = build(&table(&["/b"]), position(8), "0.1.0", at(8), None).unwrap();
    assert!(delta(&old, &unsigned).is_none());
    let long: Vec<String> = (0..100)
        .map(|n| format!("/{n}{}", "x".repeat(200)))
        .collect();
    let long: Vec<&str> = long.iter().map(String::as_str).collect();
    assert!(delta(&old, &cluster.snapshot(8, &long)).is_none());
}
