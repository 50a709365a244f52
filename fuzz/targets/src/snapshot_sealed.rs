//! A sealed document with any bytes changed does not open, and no other bytes do; what is opened
//! once is the very document that was sealed.

use std::sync::LazyLock;
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use keelgate_snapshot::{
    Position, SealingKeys, Snapshot, accept_unsigned, build, is_sealed, sealed_header,
};
use serde_json::json;
use uuid::Uuid;

use crate::input::{edits, lines};

struct Sealed {
    keys: SealingKeys,
    snapshot: Snapshot,
    document: Bytes,
}

static SEALED: LazyLock<Sealed> = LazyLock::new(|| {
    let keys = SealingKeys::new([("a", &[7; 32]), ("b", &[8; 32])]).expect("two keys");
    let position = Position {
        cluster_id: Uuid::from_u128(7),
        epoch: 1,
        revision: 3,
    };
    let config = json!({"_format_version": "3.0", "services": [{"name": "a", "host": "b"}]});
    let created_at = UNIX_EPOCH + Duration::from_millis(1_795_406_746_615);
    let snapshot = build(&config, position, "0.1.0", created_at, None).expect("a snapshot");
    Sealed {
        document: keys.seal(&snapshot).expect("a sealed document"),
        snapshot,
        keys,
    }
});

/// The first line tells edits of a sealed document, the second is a header; the rest is another document.
pub(crate) fn run(bytes: &[u8]) {
    let (edits, bytes) = edits(bytes);
    let [header, bytes] = lines(bytes);
    let Sealed {
        keys,
        snapshot,
        document,
    } = &*SEALED;

    let mut edited = document.to_vec();
    for (at, byte) in edits {
        let at = at % edited.len();
        edited[at] = byte;
    }
    if is_sealed(&edited)
        && let Ok(read) = keys.verify(Bytes::from(edited), accept_unsigned)
    {
        assert_eq!(read.document(), snapshot.document());
    }

    let other = Bytes::copy_from_slice(bytes);
    let _ = sealed_header(&other);
    if is_sealed(&other) && other != *document {
        assert!(keys.open(other).is_err(), "a forgery");
    }

    let forged = format!(
        r#"{{"protected":"{}","iv":"AAAAAAAAAAAAAAAA","ciphertext":"","tag":"AAAAAAAAAAAAAAAAAAAAAA"}}"#,
        URL_SAFE_NO_PAD.encode(header)
    );
    assert!(keys.open(Bytes::from(forged)).is_err(), "a forgery");
}
