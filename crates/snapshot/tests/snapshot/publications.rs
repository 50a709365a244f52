//! The record of a snapshot that a person published: it travels, and it cannot be altered.

use crate::support::*;
use keelgate_snapshot::{
    Identity, Publication, Signature, Signer, Snapshot, Verifier, VerifyError, publish,
};

fn published(pem: &Pem, base: Option<Identity>) -> Snapshot {
    let publication = Publication {
        by: "root@bastion".to_owned(),
        reason: "billing moved while the control plane is down".to_owned(),
        base,
        restores: None,
    };
    let signer = Signer::from_pem(&pem.cert, &pem.key).unwrap();
    let config = config().to_string();
    publish(
        &config,
        position(1),
        publication,
        "0.1.0",
        created_at(),
        &signer,
    )
    .unwrap()
}

#[test]
fn who_and_why_are_read_back() {
    let pem = cluster();
    let base = *snapshot(1, &pem).identity();
    let built = published(&pem, Some(base));
    let verifier = Verifier::shared(&pem.cert).unwrap();
    let read = verifier.verify(built.document().clone()).unwrap();
    let publication = read.publication().unwrap();
    assert_eq!(publication.by, "root@bastion");
    assert_eq!(publication.base, Some(base));
    assert_eq!(read.config_json(), config().to_string());
    assert_eq!(snapshot(1, &pem).publication(), None);
}

#[test]
fn a_changed_or_stripped_record_is_refused() {
    let pem = cluster();
    let verifier = Verifier::shared(&pem.cert).unwrap();
    let built = published(&pem, None);
    for (from, to) in [
        ("root@bastion", "somebody"),
        ("is down\"}", "is fine\"}"),
        ("\"publication\"", "\"publicatiom\""),
    ] {
        let error = verifier.verify(tampered(&built, from, to)).unwrap_err();
        assert!(
            matches!(
                error,
                VerifyError::Tampered {
                    member: "publication"
                }
            ),
            "{from}: {error}"
        );
    }
}

#[test]
fn the_signer_is_told() {
    let pem = cluster();
    let signature = Signature::of(published(&pem, None).document()).unwrap();
    assert_eq!(signature.algorithm, "ES384");
    assert!(signature.not_after.is_some());
    assert!(!signature.subject.is_empty());
    assert_eq!(Signature::of(b"{}"), None);
}
