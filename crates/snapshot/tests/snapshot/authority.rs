//! Whose signature counts where every node has a certificate of its own (`cluster_mtls = pki`).

use crate::support::*;
use keelgate_snapshot::{KeyError, Signatories, Snapshot, StatementError, Verifier, VerifyError};
use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
use rcgen::date_time_ymd;

const CP: &str = "cp.example.com";

fn verified(verifier: &Verifier, snapshot: &Snapshot) -> Result<Snapshot, StatementError> {
    match verifier.verify(snapshot.document().clone()) {
        Ok(snapshot) => Ok(snapshot),
        Err(VerifyError::Statement(error)) => Err(error),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn the_control_plane_is_believed_by_each_of_its_names() {
    let authority = Authority::new();
    for (certificate, trusted) in [
        (CP, CP),
        ("*.example.com", CP),
        ("10.0.0.7", "10.0.0.7"),
        ("CP.Example.com", CP),
    ] {
        let signed = snapshot(1, &authority.issue(certificate, ServerAuth));
        let verifier = trusting(&authority, &["other.example.com", trusted], &[]);
        assert!(
            verified(&verifier, &signed).unwrap().is_signed(),
            "{certificate}"
        );
    }
}

#[test]
fn a_server_in_another_name_is_refused_and_both_names_are_told() {
    let authority = Authority::new();
    let signed = snapshot(1, &authority.issue("dp.example.com", ServerAuth));
    let error = verified(&trusting(&authority, &[CP], &[]), &signed).unwrap_err();
    assert!(matches!(error, StatementError::Stranger { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("dp.example.com") && text.contains(CP),
        "{text}"
    );
}

#[test]
fn a_data_plane_cannot_sign_even_in_the_control_planes_name() {
    let authority = Authority::new();
    let signed = snapshot(1, &authority.issue(CP, ClientAuth));
    let error = verified(&trusting(&authority, &[CP], &[]), &signed).unwrap_err();
    assert!(matches!(error, StatementError::Untrusted(_)), "{error}");
    let with_signers = trusting(&authority, &[CP], &["backup.example.com"]);
    let error = verified(&with_signers, &signed).unwrap_err();
    assert!(matches!(error, StatementError::Stranger { .. }), "{error}");
}

#[test]
fn a_further_signer_is_believed_by_name_whatever_its_certificate_is_for() {
    let authority = Authority::new();
    let verifier = trusting(&authority, &[CP], &["backup.example.com"]);
    for purpose in [ClientAuth, ServerAuth] {
        let signed = snapshot(1, &authority.issue("backup.example.com", purpose));
        assert!(verified(&verifier, &signed).is_ok());
    }
}

#[test]
fn a_control_plane_believes_those_that_share_a_name_with_it() {
    let authority = Authority::new();
    let own = authority.issue("*.cp.example.com", ServerAuth);
    let signatories = Signatories {
        own: Some(&own.cert),
        ..Signatories::default()
    };
    let verifier = Verifier::authority(&authority.pem(), &signatories).unwrap();
    let twin = authority.issue("*.CP.example.com", ServerAuth);
    for good in [&own, &twin] {
        assert!(verified(&verifier, &snapshot(1, good)).is_ok());
    }
    let other = authority.issue("dp.example.com", ServerAuth);
    let error = verified(&verifier, &snapshot(1, &other)).unwrap_err();
    assert!(error.to_string().contains("*.cp.example.com"), "{error}");
    let client = authority.issue("*.cp.example.com", ClientAuth);
    assert!(verified(&verifier, &snapshot(1, &client)).is_err());
}

#[test]
fn strangers_and_self_signed_certificates_are_refused() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let verifier = trusting(&authority, &[CP, "kong_clustering"], &[CP]);
    for signer in [stranger.issue(CP, ServerAuth), cluster()] {
        let error = verified(&verifier, &snapshot(1, &signer)).unwrap_err();
        assert!(matches!(error, StatementError::Untrusted(_)), "{error}");
    }
}

#[test]
fn intermediate_certificates_travel_with_the_statement() {
    let authority = Authority::new();
    let below = authority.intermediate();
    let own = below.issue(CP, ServerAuth);
    let verifier = trusting(&authority, &[CP], &[]);
    let chained = Pem {
        cert: format!("{}{}", own.cert, below.pem()),
        key: own.key.clone(),
    };
    assert!(verified(&verifier, &snapshot(1, &chained)).is_ok());
    let error = verified(&verifier, &snapshot(1, &own)).unwrap_err();
    assert!(matches!(error, StatementError::Untrusted(_)), "{error}");
}

#[test]
fn a_certificate_counts_at_the_time_of_signing_and_not_at_the_time_of_reading() {
    // The snapshots of these tests are made in November 2026, whenever the tests run.
    let authority = Authority::new();
    let verifier = trusting(&authority, &[CP], &[]);
    let issued = |from: i32, until: i32| {
        authority.issue_with(CP, ServerAuth, |params| {
            params.not_before = date_time_ymd(from, 1, 1);
            params.not_after = date_time_ymd(until, 1, 1);
        })
    };
    assert!(verified(&verifier, &snapshot(1, &issued(2026, 2027))).is_ok());
    for (from, until) in [(2020, 2026), (2027, 2040)] {
        let error = verified(&verifier, &snapshot(1, &issued(from, until))).unwrap_err();
        assert!(matches!(error, StatementError::Untrusted(_)), "{error}");
    }
}

#[test]
fn an_authority_without_names_believes_nobody() {
    let authority = Authority::new();
    let error = Verifier::authority(&authority.pem(), &Signatories::default()).unwrap_err();
    assert!(matches!(error, KeyError::NoSignatory), "{error}");
    let names = ["not a name".to_owned()];
    let wrong = Signatories {
        control_planes: &names,
        ..Signatories::default()
    };
    let error = Verifier::authority(&authority.pem(), &wrong).unwrap_err();
    assert!(matches!(error, KeyError::Name { .. }), "{error}");
}
