//! A signed document with any bytes changed is refused, or still says what was signed; any other
//! document is refused as unverified and never panics when it is taken unsigned.

use std::sync::LazyLock;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use keelgate_snapshot::{
    Digest, Position, Signer, Snapshot, Verifier, accept_unsigned, build, vouch,
};
use serde_json::json;
use uuid::Uuid;

use crate::input::edits;

struct Cluster {
    signer: Signer,
    verifier: Verifier,
    snapshot: Snapshot,
}

static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| {
    let certified = rcgen::generate_simple_self_signed(vec!["kong_clustering".into()])
        .expect("make a certificate");
    let (cert, key) = (certified.cert.pem(), certified.signing_key.serialize_pem());
    let signer = Signer::from_pem(&cert, &key).expect("a pair");
    let position = Position {
        cluster_id: Uuid::from_u128(7),
        epoch: 1,
        revision: 3,
    };
    let config = json!({"_format_version": "3.0", "services": [{"name": "a", "host": "b"}]});
    let created_at = UNIX_EPOCH + Duration::from_millis(1_795_406_746_615);
    Cluster {
        snapshot: build(&config, position, "0.1.0", created_at, Some(&signer)).expect("a snapshot"),
        verifier: Verifier::shared(&cert).expect("a certificate"),
        signer,
    }
});

/// The first line tells edits of a signed document; the rest is another document.
pub(crate) fn run(bytes: &[u8]) {
    let (edits, bytes) = edits(bytes);
    let Cluster {
        signer,
        verifier,
        snapshot,
    } = &*CLUSTER;

    let mut edited = snapshot.document().to_vec();
    for (at, byte) in edits {
        let at = at % edited.len();
        edited[at] = byte;
    }
    if let Ok(read) = verifier.verify(Bytes::from(edited)) {
        assert_eq!(read.identity(), snapshot.identity());
        assert_eq!(read.config_json(), snapshot.config_json());
        assert_eq!(read.config_hash(), snapshot.config_hash());
        assert_eq!(read.created_at(), snapshot.created_at());
        assert_eq!(read.version(), snapshot.version());
    }

    let document = Bytes::copy_from_slice(bytes);
    assert!(verifier.verify(document.clone()).is_err(), "a forgery");
    let Ok(read) = accept_unsigned(document) else {
        return;
    };
    assert_eq!(
        read.identity().sha256,
        Digest::of(read.config_json().as_bytes())
    );
    let _ = read.decode();
    let vouched = vouch(&read, "0.1.0", signer).expect("anything can be vouched for");
    let again = verifier
        .verify(vouched.document().clone())
        .expect("what was vouched for is believed");
    assert_eq!(again.identity(), read.identity());
    assert_eq!(again.config_json(), read.config_json());
    assert_eq!(again.config_hash(), read.config_hash());
}
