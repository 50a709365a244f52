//! What the probe finds.

use keelgate_fallback::{Fencing, Layout, probe};
use uuid::Uuid;

use crate::bed::Bed;

#[tokio::test]
async fn every_storage_that_is_written_is_found_to_compare() {
    let layout = Layout::new("0.1.0");
    for bed in [
        Bed::directory(),
        Bed::s3(),
        Bed::gcs(),
        Bed::azure(),
        Bed::azure_shared_access(),
    ] {
        let storage = bed.open();
        for _ in 0..3 {
            let found = probe(&*storage, &layout, Uuid::new_v4()).await;
            assert_eq!(found, Ok(Fencing::Compare), "{}", bed.location);
        }
        let left = storage.list(&layout.election_folder()).await.unwrap();
        assert!(left.is_empty(), "{}: {left:?}", bed.location);
    }
}
