//! Backups that no build under test has written: of other versions, or of another time.

use bytes::Bytes;
use keelgate_snapshot::{Position, Signer};
use serde_json::{Value, json};

use crate::{Cluster, Storage};

/// Moves the backup of this build to where the build of another `version` would have written it:
/// the newest snapshot signed anew, and the index. The rest is gone.
pub async fn belongs_to_version(cluster: &Cluster, version: &str) {
    let storage = cluster.storage();
    let body = storage
        .read(&Storage::config_key())
        .await
        .expect("the storage holds a snapshot");
    for key in storage.list("").await {
        storage.remove(&key).await;
    }
    storage
        .write(
            &format!("{version}/config.json"),
            signed_as(cluster, &body, version),
        )
        .await;
    let index = json!({"schema": 1, "versions": {version: {"fencing": "compare"}}});
    storage.write("index.json", index.to_string()).await;
}

/// The same configuration as a build of `version` would have signed it.
fn signed_as(cluster: &Cluster, document: &[u8], version: &str) -> Bytes {
    let document: Value = serde_json::from_slice(document).expect("a snapshot is JSON");
    let read = |path| std::fs::read_to_string(path).expect("read the cluster's certificate");
    let signer = Signer::from_pem(&read(cluster.certificate()), &read(cluster.key()))
        .expect("the cluster's certificate signs");
    let identity = &document["keelgate"]["identity"];
    let number = |name: &str| identity[name].as_u64().expect("a number");
    let position = Position {
        cluster_id: identity["cluster_id"]
            .as_str()
            .and_then(|id| id.parse().ok())
            .expect("an id"),
        epoch: number("epoch"),
        revision: number("revision"),
    };
    keelgate_snapshot::build(
        &document["config_table"],
        position,
        version,
        std::time::SystemTime::now(),
        Some(&signer),
    )
    .expect("what was published can be built")
    .document()
    .clone()
}
