//! How a store that can be written to takes up another epoch, or another cluster.

use keelgate_store::Store;
use uuid::Uuid;

/// Runs on two stores of one empty database.
pub async fn epochs(node: &dyn Store, tool: &dyn Store) {
    let before = node.position().await.unwrap();
    let mut feed = node.subscribe();
    let position = tool.begin_epoch(7, None).await.unwrap();
    assert_eq!((position.epoch, position.revision), (8, 1));
    assert_eq!(position.cluster_id, before.cluster_id);
    feed.wait_for(|revision| *revision == 1).await.unwrap();
    assert_eq!(node.export().await.unwrap().0, position);

    let lost = Uuid::from_u128(5);
    let position = tool.begin_epoch(3, Some(lost)).await.unwrap();
    assert_eq!(position.epoch, 9, "an epoch never goes back");
    assert_eq!(position.cluster_id, lost);
    feed.wait_for(|revision| *revision == 2).await.unwrap();
    assert_eq!(node.export().await.unwrap().0, position);
}
