//! No statement is believed that the cluster key has not made, whatever its header, payload and
//! signature say.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use keelgate_snapshot::{Signatories, Verifier};
use serde_json::json;

struct Cluster {
    /// One that shares the certificate, and one that trusts it as an authority.
    verifiers: [Verifier; 2],
    thumbprint: String,
}

static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| {
    let certified = rcgen::generate_simple_self_signed(vec!["kong_clustering".into()])
        .expect("make a certificate");
    let pem = certified.cert.pem();
    let digest = keelgate_snapshot::Digest::of(certified.cert.der());
    Cluster {
        verifiers: [
            Verifier::shared(&pem).expect("a certificate"),
            Verifier::authority(
                &pem,
                &Signatories {
                    control_planes: &["kong_clustering".to_owned()],
                    ..Signatories::default()
                },
            )
            .expect("a certificate"),
        ],
        thumbprint: URL_SAFE_NO_PAD.encode(digest.0),
    }
});

/// Lines: header, payload and signature, then a whole statement.
pub(crate) fn run(text: &str) {
    let mut lines = text.splitn(4, '\n');
    let [header, payload, signature, whole] = [(); 4].map(|()| lines.next().unwrap_or_default());
    // The one thing that no mutation could guess.
    let header = header.replace("OWN", &CLUSTER.thumbprint);
    let encode = |part: &[u8]| URL_SAFE_NO_PAD.encode(part);
    let statement = [
        encode(header.as_bytes()),
        encode(payload.as_bytes()),
        encode(signature.as_bytes()),
    ]
    .join(".");
    for statement in [&statement, whole] {
        let document = json!({
            "type": "reconfigure",
            "config_hash": "00000000000000000000000000000000",
            "keelgate": {
                "schema": 1,
                "identity": {
                    "cluster_id": "00000000-0000-0000-0000-000000000007", "epoch": 1, "revision": 1,
                    "sha256": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
                },
                "version": "0.1.0", "created_at": 1, "statement": statement,
            },
            "config_table": {},
        });
        let document = Bytes::from(document.to_string());
        for verifier in &CLUSTER.verifiers {
            assert!(verifier.verify(document.clone()).is_err(), "a forgery");
        }
    }
}
