//! What an attacker who can write to a storage or to the wire may try.

use crate::support::*;
use bytes::Bytes;
use keelgate_snapshot::{
    MAX_DOCUMENT_BYTES, Snapshot, StatementError, Verifier, VerifyError, accept_unsigned, build,
};
use proptest::prelude::*;
use serde_json::json;

fn refusal(verifier: &Verifier, document: Bytes) -> VerifyError {
    verifier.verify(document).unwrap_err()
}

#[test]
fn a_changed_configuration_is_refused() {
    let pem = cluster();
    let document = tampered(&snapshot(1, &pem), "billing.internal", "attacker.example");
    let error = refusal(&Verifier::shared(&pem.cert).unwrap(), document);
    assert!(
        matches!(error, VerifyError::DigestMismatch { .. }),
        "{error}"
    );
}

#[test]
fn added_space_in_the_configuration_is_refused() {
    let pem = cluster();
    let document = tampered(&snapshot(1, &pem), "\"services\":[", "\"services\": [");
    let error = refusal(&Verifier::shared(&pem.cert).unwrap(), document);
    assert!(
        matches!(error, VerifyError::DigestMismatch { .. }),
        "{error}"
    );
}

#[test]
fn each_changed_member_beside_the_statement_is_named() {
    let pem = cluster();
    let snapshot = snapshot(1, &pem);
    let verifier = Verifier::shared(&pem.cert).unwrap();
    let hash = format!("\"config_hash\":\"{}\"", snapshot.config_hash());
    let cases = [
        ("\"revision\":1", "\"revision\":2", "identity"),
        ("\"epoch\":1", "\"epoch\":9", "identity"),
        ("\"version\":\"0.1.0\"", "\"version\":\"0.2.0\"", "version"),
        (
            "\"created_at\":1795406746615",
            "\"created_at\":1795406746616",
            "created_at",
        ),
        (hash.as_str(), "\"config_hash\":\"0\"", "config_hash"),
    ];
    for (from, to, expected) in cases {
        let error = refusal(&verifier, tampered(&snapshot, from, to));
        assert!(
            matches!(error, VerifyError::Tampered { member } if member == expected),
            "{expected}: {error}"
        );
    }
}

#[test]
fn a_statement_of_another_snapshot_is_refused() {
    let pem = cluster();
    let (old, new) = (snapshot(1, &pem), snapshot(2, &pem));
    let document = tampered(&new, &statement(&new), &statement(&old));
    let error = refusal(&Verifier::shared(&pem.cert).unwrap(), document);
    assert!(
        matches!(error, VerifyError::Tampered { member: "identity" }),
        "{error}"
    );
}

#[test]
fn a_stripped_statement_is_refused() {
    let pem = cluster();
    let signed = snapshot(1, &pem);
    let member = format!(",\"statement\":\"{}\"", statement(&signed));
    let verifier = Verifier::shared(&pem.cert).unwrap();
    let stripped = tampered(&signed, &member, "");
    assert!(matches!(
        refusal(&verifier, stripped.clone()),
        VerifyError::Unsigned
    ));
    assert!(!accept_unsigned(stripped).unwrap().is_signed());
    let unsigned = build(&config(), position(1), "0.1.0", created_at(), None).unwrap();
    assert!(matches!(
        refusal(&verifier, unsigned.document().clone()),
        VerifyError::Unsigned
    ));
    let kong = Bytes::from_static(br#"{"type":"reconfigure","config_hash":"a","config_table":{}}"#);
    assert!(matches!(refusal(&verifier, kong), VerifyError::Unsigned));
}

#[test]
fn another_key_is_refused_by_its_certificate() {
    let (ours, theirs) = (cluster(), cluster());
    let document = snapshot(1, &theirs).document().clone();
    let error = refusal(&Verifier::shared(&ours.cert).unwrap(), document);
    assert!(
        matches!(
            error,
            VerifyError::Statement(StatementError::WrongCertificate { .. })
        ),
        "{error}"
    );
}

#[test]
fn another_key_under_our_thumbprint_is_refused_by_the_signature() {
    let (ours, theirs) = (cluster(), cluster());
    let thumbprint = {
        let mut found = json!(null);
        restated(&snapshot(1, &ours), |header, _, _| {
            found = header["x5t#S256"].clone()
        });
        found
    };
    let document = restated(&snapshot(1, &theirs), |header, _, _| {
        header["x5t#S256"] = thumbprint;
    });
    let error = refusal(&Verifier::shared(&ours.cert).unwrap(), document);
    assert!(
        matches!(error, VerifyError::Statement(StatementError::Signature)),
        "{error}"
    );
}

#[test]
fn the_header_cannot_choose_the_algorithm() {
    let pem = cluster();
    let verifier = Verifier::shared(&pem.cert).unwrap();
    for alg in [
        "none", "None", "HS256", "HS384", "ES256", "RS256", "EdDSA", "",
    ] {
        for keep in [true, false] {
            let document = restated(&snapshot(1, &pem), |header, _, signature| {
                header["alg"] = json!(alg);
                if !keep {
                    signature.clear();
                }
            });
            let error = refusal(&verifier, document);
            assert!(
                matches!(
                    error,
                    VerifyError::Statement(StatementError::Algorithm {
                        expected: "ES384",
                        ..
                    })
                ),
                "{alg}: {error}"
            );
        }
    }
}

#[test]
fn a_stripped_chain_is_refused_by_an_authority() {
    let authority = Authority::new();
    let server = authority.issue("cp.example.com", rcgen::ExtendedKeyUsagePurpose::ServerAuth);
    let document = restated(&snapshot(1, &server), |header, _, _| {
        header["x5c"] = json!([])
    });
    let error = refusal(&trusting(&authority, &["cp.example.com"], &[]), document);
    assert!(
        matches!(error, VerifyError::Statement(StatementError::NoChain)),
        "{error}"
    );
}

#[test]
fn headers_that_change_the_meaning_are_refused() {
    let pem = cluster();
    let verifier = Verifier::shared(&pem.cert).unwrap();
    let members = [
        ("crit", json!(["b64"])),
        ("b64", json!(false)),
        ("jwk", json!({})),
        ("typ", json!("JWT")),
    ];
    for (name, value) in members {
        let document = restated(&snapshot(1, &pem), |header, _, _| header[name] = value);
        let error = refusal(&verifier, document);
        assert!(
            matches!(error, VerifyError::Statement(StatementError::Malformed(_))),
            "{name}: {error}"
        );
    }
}

#[test]
fn a_changed_payload_or_signature_is_refused() {
    let pem = cluster();
    let verifier = Verifier::shared(&pem.cert).unwrap();
    let payload = restated(&snapshot(1, &pem), |_, payload, _| {
        payload["version"] = json!("9")
    });
    let signature = restated(&snapshot(1, &pem), |_, _, signature| signature[5] ^= 1);
    let zeroes = restated(&snapshot(1, &pem), |_, _, signature| signature.fill(0));
    for document in [payload, signature, zeroes] {
        let error = refusal(&verifier, document);
        assert!(
            matches!(error, VerifyError::Statement(StatementError::Signature)),
            "{error}"
        );
    }
}

#[test]
fn a_document_cut_at_any_byte_is_truncated() {
    let pem = cluster();
    let verifier = Verifier::shared(&pem.cert).unwrap();
    let document = snapshot(1, &pem).document().clone();
    for end in 0..document.len() {
        let error = refusal(&verifier, document.slice(..end));
        assert!(
            matches!(error, VerifyError::Truncated { bytes } if bytes == end),
            "{end}: {error}"
        );
    }
}

#[test]
fn a_member_that_stands_twice_is_refused() {
    let pem = cluster();
    let snapshot = snapshot(1, &pem);
    let verifier = Verifier::shared(&pem.cert).unwrap();
    let cases = [
        ("\"type\":", "\"type\":\"reconfigure\",\"type\":"),
        ("\"config_table\":", "\"config_table\":{},\"config_table\":"),
        ("\"keelgate\":", "\"keelgate\":null,\"keelgate\":"),
        ("\"identity\":", "\"identity\":null,\"identity\":"),
        ("\"version\":", "\"version\":\"0.1.0\",\"version\":"),
        ("\"epoch\":", "\"epoch\":1,\"epoch\":"),
    ];
    for (from, to) in cases {
        let error = refusal(&verifier, tampered(&snapshot, from, to));
        assert!(matches!(error, VerifyError::Malformed(_)), "{to}: {error}");
    }
}

#[test]
fn other_messages_and_other_shapes_are_refused() {
    let refused =
        |document: &'static [u8]| accept_unsigned(Bytes::from_static(document)).unwrap_err();
    assert!(matches!(
        refused(br#"{"type":"basic_info","config_table":{}}"#),
        VerifyError::Kind { found } if found == "basic_info"
    ));
    assert!(matches!(
        refused(br#"{"type":"reconfigure","config_table":[]}"#),
        VerifyError::NotATable
    ));
    assert!(matches!(refused(b"<html>"), VerifyError::Malformed(_)));
    assert!(matches!(
        refused(b"{\"a\xff\":1}"),
        VerifyError::NotUtf8 { offset: 3 }
    ));
    assert!(matches!(refused(b""), VerifyError::Truncated { bytes: 0 }));
}

#[test]
fn a_schema_beyond_this_build_is_named() {
    let pem = cluster();
    let snapshot = snapshot(1, &pem);
    let verifier = Verifier::shared(&pem.cert).unwrap();
    let old = tampered(&snapshot, "\"schema\":1", "\"schema\":0");
    assert!(matches!(
        refusal(&verifier, old),
        VerifyError::SchemaTooOld {
            found: 0,
            oldest: 1
        }
    ));
    let new = tampered(&snapshot, "\"schema\":1", "\"schema\":2");
    assert!(matches!(
        refusal(&verifier, new),
        VerifyError::SchemaTooNew {
            found: 2,
            newest: 1
        }
    ));
}

#[test]
fn endless_data_is_refused_before_it_is_read() {
    let pem = cluster();
    let document = Bytes::from(vec![b' '; MAX_DOCUMENT_BYTES + 1]);
    let error = refusal(&Verifier::shared(&pem.cert).unwrap(), document);
    assert!(matches!(error, VerifyError::TooLarge { .. }), "{error}");
}

/// Gives a copy of the document with every single bit flipped in turn.
fn each_flipped_bit(document: &Bytes, mut check: impl FnMut(usize, Bytes)) {
    for bit in 0..document.len() * 8 {
        let mut flipped = document.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        check(bit, Bytes::from(flipped));
    }
}

#[test]
fn no_flipped_bit_makes_another_snapshot() {
    let pem = self_signed(&rcgen::PKCS_ED25519);
    let verifier = Verifier::shared(&pem.cert).unwrap();
    let original = snapshot(1, &pem);
    let mut refused = 0;
    each_flipped_bit(original.document(), |bit, flipped| {
        // Members that are not signed (the time stamp of Kong, the hashes) mean nothing here.
        match verifier.verify(flipped) {
            Ok(read) => assert_same(&read, &original, bit),
            Err(_) => refused += 1,
        }
    });
    // What decides is most of the document.
    assert!(refused > original.document().len() * 8 * 2 / 3, "{refused}");
}

#[test]
fn no_flipped_bit_of_a_sealed_document_passes() {
    let pem = self_signed(&rcgen::PKCS_ED25519);
    let verifier = Verifier::shared(&pem.cert).unwrap();
    let keys = sealing_keys(&["a"]);
    let sealed = keys.seal(&snapshot(1, &pem)).unwrap();
    each_flipped_bit(&sealed, |bit, flipped| {
        let read = keys.verify(flipped, |inner| verifier.verify(inner));
        assert!(read.is_err(), "bit {bit} can be flipped");
    });
}

fn assert_same(read: &Snapshot, original: &Snapshot, bit: usize) {
    assert_eq!(read.identity(), original.identity(), "bit {bit}");
    assert_eq!(read.config_json(), original.config_json(), "bit {bit}");
    assert_eq!(read.config_hash(), original.config_hash(), "bit {bit}");
    assert_eq!(read.version(), original.version(), "bit {bit}");
    assert_eq!(read.created_at(), original.created_at(), "bit {bit}");
    assert_eq!(read.publication(), original.publication(), "bit {bit}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_changed_bytes_make_another_snapshot(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let pem = cluster();
        let original = snapshot(1, &pem);
        let mut document = original.document().to_vec();
        for (at, byte) in changes {
            let at = at.index(document.len());
            document[at] = byte;
        }
        if let Ok(read) = Verifier::shared(&pem.cert).unwrap().verify(Bytes::from(document)) {
            assert_same(&read, &original, 0);
        }
    }
}
