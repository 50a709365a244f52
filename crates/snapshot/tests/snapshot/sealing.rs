//! Sealed documents: who can open them, what they tell, and how keys are exchanged.

use crate::support::*;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use keelgate_snapshot::{
    MAX_DOCUMENT_BYTES, SealError, SealingKeyError, SealingKeys, Verifier, VerifyError,
    accept_unsigned, is_sealed, sealed_header,
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn members(sealed: &Bytes) -> Value {
    serde_json::from_slice(sealed).unwrap()
}

/// The document with its header changed, everything else as it stands.
fn relabelled(sealed: &Bytes, change: impl FnOnce(&mut Value)) -> Bytes {
    let mut members = members(sealed);
    let protected = members["protected"].as_str().unwrap();
    let mut header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(protected).unwrap()).unwrap();
    change(&mut header);
    members["protected"] = json!(URL_SAFE_NO_PAD.encode(header.to_string()));
    in_order(&members)
}

/// Writes the members in the order in which a sealed document has them.
fn in_order(members: &Value) -> Bytes {
    Bytes::from(format!(
        r#"{{"protected":{},"iv":{},"ciphertext":{},"tag":{}}}"#,
        members["protected"], members["iv"], members["ciphertext"], members["tag"]
    ))
}

#[test]
fn what_was_sealed_is_opened_byte_for_byte() {
    let pem = cluster();
    let snapshot = snapshot(1, &pem);
    let keys = sealing_keys(&["a"]);
    let sealed = keys.seal(&snapshot).unwrap();
    assert!(is_sealed(&sealed) && !is_sealed(snapshot.document()));
    assert_eq!(keys.open(sealed.clone()).unwrap(), snapshot.document());
    let verifier = Verifier::shared(&pem.cert).unwrap();
    let read = keys.verify(sealed, |inner| verifier.verify(inner)).unwrap();
    assert_eq!(read.identity(), snapshot.identity());
    assert!(read.is_signed());
}

#[test]
fn a_sealed_document_is_a_flattened_jwe_that_shows_nothing_of_the_configuration() {
    let sealed = sealing_keys(&["a"]).seal(&snapshot(1, &cluster())).unwrap();
    let members = members(&sealed);
    let header = URL_SAFE_NO_PAD
        .decode(members["protected"].as_str().unwrap())
        .unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    assert_eq!(header["alg"], "dir");
    assert_eq!(header["enc"], "A256GCM");
    assert_eq!(header["kid"], "a");
    let length = |member: &str| {
        let text = members[member].as_str().unwrap();
        URL_SAFE_NO_PAD.decode(text).unwrap().len()
    };
    assert_eq!((length("iv"), length("tag")), (12, 16));
    let plain = URL_SAFE_NO_PAD
        .decode(members["ciphertext"].as_str().unwrap())
        .unwrap();
    assert!(!String::from_utf8_lossy(&plain).contains("billing"));
}

#[test]
fn the_header_tells_without_a_key_what_lies_there() {
    let snapshot = snapshot(1, &cluster());
    let header = sealed_header(&sealing_keys(&["a"]).seal(&snapshot).unwrap()).unwrap();
    assert_eq!(header.identity, *snapshot.identity());
    assert_eq!(header.version, snapshot.version());
    assert_eq!(header.created_at, snapshot.created_at());
    assert_eq!(header.key_id, "a");
}

#[test]
fn no_two_sealings_share_a_nonce() {
    let (keys, snapshot) = (sealing_keys(&["a"]), snapshot(1, &cluster()));
    let nonces: std::collections::HashSet<String> = (0..100)
        .map(|_| members(&keys.seal(&snapshot).unwrap())["iv"].to_string())
        .collect();
    assert_eq!(nonces.len(), 100);
}

#[test]
fn keys_are_exchanged_without_a_gap() {
    let snapshot = snapshot(1, &cluster());
    let (old, both) = (sealing_keys(&["old"]), sealing_keys(&["old", "new"]));
    let (turned, new) = (sealing_keys(&["new", "old"]), sealing_keys(&["new"]));
    let by_old = both.seal(&snapshot).unwrap();
    let by_new = turned.seal(&snapshot).unwrap();
    for keys in [&old, &both, &turned] {
        assert_eq!(keys.open(by_old.clone()).unwrap(), snapshot.document());
    }
    for keys in [&both, &turned, &new] {
        assert_eq!(keys.open(by_new.clone()).unwrap(), snapshot.document());
    }
    assert!(both.is_current(&by_old) && !turned.is_current(&by_old));
    assert!(!turned.is_current(snapshot.document()));
    assert_eq!(
        new.open(by_old).unwrap_err(),
        SealError::UnknownKey {
            key_id: "old".to_owned()
        }
    );
}

#[test]
fn a_plain_document_is_read_where_keys_are_set() {
    let snapshot = snapshot(1, &cluster());
    let opened = sealing_keys(&["a"]).open(snapshot.document().clone());
    assert_eq!(opened.unwrap(), snapshot.document());
}

#[test]
fn a_node_without_keys_says_which_key_it_needs() {
    let pem = cluster();
    let sealed = sealing_keys(&["a"]).seal(&snapshot(1, &pem)).unwrap();
    let verifier = Verifier::shared(&pem.cert).unwrap();
    for refused in [verifier.verify(sealed.clone()), accept_unsigned(sealed)] {
        let error = refused.unwrap_err();
        assert!(
            matches!(&error, VerifyError::Seal(SealError::NoKeys { key_id }) if key_id == "a"),
            "{error}"
        );
    }
}

#[test]
fn another_key_under_the_same_id_opens_nothing() {
    let sealed = sealing_keys(&["a"]).seal(&snapshot(1, &cluster())).unwrap();
    let other = SealingKeys::new([("a", &[9; 32])]).unwrap();
    assert!(matches!(other.open(sealed), Err(SealError::Broken { .. })));
}

#[test]
fn the_header_is_part_of_what_is_sealed() {
    let keys = sealing_keys(&["a", "b"]);
    let sealed = keys.seal(&snapshot(1, &cluster())).unwrap();
    let changes: [fn(&mut Value); 3] = [
        |header| header["identity"]["revision"] = json!(2),
        |header| header["version"] = json!("0.2.0"),
        |header| header["kid"] = json!("b"),
    ];
    for change in changes {
        let error = keys.open(relabelled(&sealed, change)).unwrap_err();
        assert!(matches!(error, SealError::Broken { .. }), "{error}");
    }
}

#[test]
fn a_sealing_of_one_snapshot_cannot_carry_another() {
    // Somebody who has the sealing key and an older signed snapshot, and no signing key.
    let (pem, keys) = (cluster(), sealing_keys(&["a"]));
    let (old, new) = (snapshot(1, &pem), snapshot(2, &pem));
    let verifier = Verifier::shared(&pem.cert).unwrap();
    let label = keys.seal(&new).unwrap();
    let forged = forge_seal(&label, old.document());
    let error = keys
        .verify(forged, |inner| verifier.verify(inner))
        .unwrap_err();
    assert!(
        matches!(
            &error,
            VerifyError::Seal(SealError::Mislabelled { claimed }) if claimed.revision == 2
        ),
        "{error}"
    );
}

#[test]
fn members_and_headers_that_change_the_meaning_are_refused() {
    let keys = sealing_keys(&["a"]);
    let sealed = keys.seal(&snapshot(1, &cluster())).unwrap();
    let text = String::from_utf8(sealed.to_vec()).unwrap();
    for member in [
        "unprotected",
        "header",
        "encrypted_key",
        "aad",
        "recipients",
    ] {
        let added = text.replacen(",\"iv\"", &format!(",\"{member}\":\"\",\"iv\""), 1);
        let error = keys.open(Bytes::from(added)).unwrap_err();
        assert!(
            matches!(error, SealError::Malformed(_)),
            "{member}: {error}"
        );
    }
    let headers = [
        ("alg", json!("A256KW")),
        ("alg", json!("none")),
        ("enc", json!("A128GCM")),
        ("typ", json!("JOSE")),
        ("zip", json!("DEF")),
        ("crit", json!(["exp"])),
        ("kid", json!("a\nb")),
        ("kid", json!("k".repeat(65))),
        ("version", json!("v".repeat(5000))),
    ];
    for (name, value) in headers {
        let error = keys
            .open(relabelled(&sealed, |header| header[name] = value))
            .unwrap_err();
        assert!(matches!(error, SealError::Malformed(_)), "{name}: {error}");
    }
}

#[test]
fn a_sealed_document_cut_at_any_byte_is_refused() {
    let pem = cluster();
    let keys = sealing_keys(&["a"]);
    let verifier = Verifier::shared(&pem.cert).unwrap();
    let sealed = keys.seal(&snapshot(1, &pem)).unwrap();
    for end in 0..sealed.len() {
        let error = keys
            .verify(sealed.slice(..end), |inner| verifier.verify(inner))
            .unwrap_err();
        assert!(
            matches!(
                error,
                VerifyError::Truncated { .. } | VerifyError::Seal(SealError::Truncated { .. })
            ),
            "{end}: {error}"
        );
    }
}

#[test]
fn endless_sealed_data_is_refused_before_it_is_read() {
    let mut endless = br#"{"protected":""#.to_vec();
    endless.resize(MAX_DOCUMENT_BYTES + 1, b'a');
    let error = sealing_keys(&["a"]).open(Bytes::from(endless)).unwrap_err();
    assert!(matches!(error, SealError::TooLarge { .. }), "{error}");
}

#[test]
fn lists_of_keys_are_checked_and_never_shown() {
    let key = [0x5a; 32];
    let refused = |ids: &[&str]| SealingKeys::new(ids.iter().map(|id| (*id, &key))).unwrap_err();
    assert_eq!(refused(&[]), SealingKeyError::None);
    assert_eq!(refused(&["a", ""]), SealingKeyError::Id { place: 2 });
    assert_eq!(refused(&["a b"]), SealingKeyError::Id { place: 1 });
    assert_eq!(
        refused(&["a", "a"]).to_string(),
        "two sealing keys have the id `a`: give every key an id of its own"
    );
    let keys = SealingKeys::new([("a", &key), ("b", &key)]).unwrap();
    assert_eq!(format!("{keys:?}"), r#"SealingKeys(["a", "b"])"#);
    assert_eq!(keys.ids().collect::<Vec<_>>(), ["a", "b"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_configuration_survives_sealing(note in ".{0,200}", revision in any::<u64>()) {
        let config = json!({"_format_version": "3.0", "note": note});
        let built = keelgate_snapshot::build(
            &config, position(revision), "0.1.0", created_at(), None,
        ).unwrap();
        let keys = sealing_keys(&["a"]);
        let read = keys.verify(keys.seal(&built).unwrap(), accept_unsigned).unwrap();
        prop_assert_eq!(read.document(), built.document());
        prop_assert_eq!(read.identity(), built.identity());
    }

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut document = br#"{"protected":"#.to_vec();
        document.extend(bytes);
        prop_assert!(sealed_header(&document).is_err());
        prop_assert!(sealing_keys(&["a"]).open(Bytes::from(document)).is_err());
    }
}
