//! A snapshot that was built is read back as what it was, under each kind of trust.

use std::time::Duration;

use crate::support::*;
use bytes::Bytes;
use keelgate_snapshot::{
    KeyError, Signer, Verifier, accept_unsigned, build, envelop, restate, vouch,
};
use serde_json::{Value, json};
use uuid::Uuid;

#[test]
fn every_kind_of_key_signs_and_verifies() {
    let kinds = [
        (&rcgen::PKCS_ECDSA_P256_SHA256, "ES256"),
        (&rcgen::PKCS_ECDSA_P384_SHA384, "ES384"),
        (&rcgen::PKCS_ECDSA_P521_SHA512, "ES512"),
        (&rcgen::PKCS_RSA_SHA256, "PS256"),
        (&rcgen::PKCS_ED25519, "EdDSA"),
    ];
    for (kind, alg) in kinds {
        let pem = self_signed(kind);
        let built = snapshot(3, &pem);
        let mut header = Value::Null;
        restated(&built, |found, _, _| header = found.clone());
        assert_eq!(header["alg"], alg);
        let verifier = Verifier::shared(&pem.cert).unwrap();
        let read = verifier.verify(built.document().clone()).unwrap();
        assert!(read.is_signed());
        assert_eq!(read.identity(), built.identity());
        assert_eq!(read.identity().revision, 3);
        assert_eq!(read.config_hash(), built.config_hash());
        assert_eq!(read.config_json(), config().to_string());
        assert_eq!(read.version(), "0.1.0");
        assert_eq!(read.created_at(), created_at());
        assert_eq!(read.decode().unwrap().services.len(), 1);
    }
}

#[test]
fn the_configuration_is_a_slice_of_the_document() {
    let built = snapshot(1, &cluster());
    let document = built.document().as_ptr_range();
    assert!(document.contains(&built.config_json().as_ptr()));
}

#[test]
fn kong_reads_the_members_that_it_knows() {
    let built = snapshot(1, &cluster());
    let document: Value = serde_json::from_slice(built.document()).unwrap();
    assert_eq!(document["type"], "reconfigure");
    assert_eq!(document["timestamp"], 1_795_406_746.615);
    assert_eq!(document["config_hash"], document["hashes"]["config"]);
    assert_eq!(document["config_hash"].as_str().unwrap().len(), 32);
    assert_eq!(document["hashes"]["routes"], "0".repeat(32));
    assert_eq!(document["config_table"], config());
}

#[test]
fn an_exchanged_certificate_is_good_beside_the_old_one() {
    let (old, new) = (cluster(), cluster());
    let verifier = Verifier::shared(&format!("{}{}", old.cert, new.cert)).unwrap();
    for pem in [&old, &new] {
        assert!(verifier.verify(snapshot(1, pem).document().clone()).is_ok());
    }
}

#[test]
fn a_key_of_another_certificate_is_no_signer() {
    let (one, other) = (cluster(), cluster());
    let error = Signer::from_pem(&one.cert, &other.key).unwrap_err();
    assert!(matches!(error, KeyError::Mismatch));
    let rsa = self_signed(&rcgen::PKCS_RSA_SHA256);
    let error = Signer::from_pem(&one.cert, &rsa.key).unwrap_err();
    assert!(matches!(error, KeyError::Mismatch));
    assert!(matches!(
        Signer::from_pem("nothing", &one.key).unwrap_err(),
        KeyError::NoCertificate
    ));
    assert!(matches!(
        Signer::from_pem(&one.cert, &one.cert).unwrap_err(),
        KeyError::PrivateKey
    ));
}

#[test]
fn secrets_are_not_shown() {
    let pem = cluster();
    let built = snapshot(1, &pem);
    let signer = Signer::from_pem(&pem.cert, &pem.key).unwrap();
    let shown = format!("{built:?} {signer:?} {:?}", Verifier::shared(&pem.cert));
    assert!(!shown.contains("billing"), "{shown}");
}

#[test]
fn a_document_of_kong_gets_an_identity_from_its_time_and_cluster() {
    let cluster_id = Uuid::from_u128(99);
    let document = json!({
        "type": "reconfigure",
        "timestamp": 1_795_406_746.615,
        "config_hash": "0123456789abcdef0123456789abcdef",
        "config_table": {
            "_format_version": "3.0",
            "parameters": [{"key": "cluster_id", "value": cluster_id.to_string(), "created_at": 1}],
        },
    });
    let read = accept_unsigned(Bytes::from(document.to_string())).unwrap();
    assert_eq!(read.identity().cluster_id, cluster_id);
    assert_eq!(read.identity().position(), (0, 1_795_406_746_615));
    assert_eq!(read.created_at(), created_at());
    assert_eq!(read.config_hash(), "0123456789abcdef0123456789abcdef");
    assert!(!read.is_signed());
    assert!(read.identity().belongs_to(cluster_id).is_ok());
    let foreign = read.identity().belongs_to(Uuid::from_u128(1)).unwrap_err();
    assert_eq!(foreign.found, cluster_id);
}

#[test]
fn the_least_document_is_enough_without_a_verifier() {
    let document =
        br#"{"type":"reconfigure","config_table":{"_format_version":"3.0","_transform":false}}"#;
    let read = accept_unsigned(Bytes::from_static(document)).unwrap();
    assert_eq!(read.config_hash(), "3ba837da99e14dfab883d867101d37f6");
    assert!(read.identity().cluster_id.is_nil());
}

#[test]
fn a_hash_that_no_control_plane_could_read_in_a_ping_is_worked_out_anew() {
    let config = json!({"_format_version": "3.0", "_transform": false});
    for told in ["", "abc", "äääääääääääääääa", &"f".repeat(200)] {
        let document = json!({"type": "reconfigure", "config_hash": told, "config_table": config});
        let read = accept_unsigned(Bytes::from(document.to_string())).unwrap();
        assert_eq!(read.config_hash(), "3ba837da99e14dfab883d867101d37f6");
    }
}

#[test]
fn a_configuration_must_be_a_table() {
    let error = build(&["services"], position(1), "0.1.0", created_at(), None).unwrap_err();
    assert!(error.to_string().contains("object"), "{error}");
}

#[test]
fn who_holds_the_key_can_vouch_for_a_document_of_kong() {
    let table = r#"{ "services":[], "_format_version":"3.0",
        "parameters":[{"key":"cluster_id","value":"43bb40d6-4c82-4d1c-9e20-17766dc60181"}]}"#;
    let hash = "a".repeat(32);
    let document = format!(
        r#"{{"config_table":{table},"type":"reconfigure","timestamp":1795406746.615,"config_hash":"{hash}"}}"#
    );
    let received = accept_unsigned(Bytes::from(document)).unwrap();
    let pem = cluster();
    let signer = Signer::from_pem(&pem.cert, &pem.key).unwrap();
    let vouched = vouch(&received, "0.1.0", &signer).unwrap();
    let verifier = Verifier::shared(&pem.cert).unwrap();
    let read = verifier.verify(vouched.document().clone()).unwrap();
    assert_eq!(read.identity(), received.identity());
    assert_eq!(read.identity().position(), (0, 1_795_406_746_615));
    assert_eq!(read.config_json(), table);
    assert_eq!(read.config_hash(), hash);
    assert_eq!(read.created_at(), received.created_at());
    assert_eq!(read.version(), "0.1.0");
}

#[test]
fn a_configuration_without_entities_is_told() {
    let of = |config: &str| {
        let document = format!(r#"{{"type":"reconfigure","config_table":{config}}}"#);
        accept_unsigned(Bytes::from(document))
            .unwrap()
            .configures_nothing()
    };
    assert!(of("{}"));
    assert!(of(
        r#"{"_format_version":"3.0","_transform":false,"workspaces":[{"name":"default"}],
        "parameters":[{"key":"cluster_id","value":"x"}],"services":[]}"#
    ));
    assert!(!of(r#"{"consumers":[{"username":"a"}]}"#));
}

#[test]
fn a_restated_snapshot_differs_in_nothing_but_its_time() {
    let pem = cluster();
    let original = snapshot(4, &pem);
    let signer = Signer::from_pem(&pem.cert, &pem.key).unwrap();
    let later = created_at() + Duration::from_secs(3600);
    let restated = restate(&original, "0.1.0", later, &signer).unwrap();
    let verifier = Verifier::shared(&pem.cert).unwrap();
    let read = verifier.verify(restated.document().clone()).unwrap();
    assert_eq!(read.identity(), original.identity());
    assert_eq!(read.config_json(), original.config_json());
    assert_eq!(read.config_hash(), original.config_hash());
    assert_eq!(read.created_at(), later);
}

#[test]
fn what_kong_sent_can_be_confirmed_later_and_keeps_its_identity() {
    let document = br#"{"type":"reconfigure","timestamp":1795406746.615,"config_table":{}}"#;
    let received = accept_unsigned(Bytes::from_static(document)).unwrap();
    let later = created_at() + Duration::from_secs(60);
    let confirmed = received.confirmed(later).unwrap();
    assert_eq!(confirmed.created_at(), later);
    assert!(
        received.confirmed(created_at()).is_none(),
        "time does not go back"
    );
    let kept = envelop(&confirmed).unwrap();
    let read = accept_unsigned(kept.document().clone()).unwrap();
    assert_eq!(read.identity(), received.identity());
    assert_eq!(read.created_at(), later);
    let signed = snapshot(1, &cluster());
    assert!(
        signed.confirmed(later).is_none(),
        "its maker alone restates it"
    );
}
