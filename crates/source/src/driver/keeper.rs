//! Keeps what is served on disk.

use std::time::Duration;

use keelgate_snapshot::Snapshot;
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::Message;
use crate::cache::Cache;

/// Wait until what could not be written to disk is tried again.
const KEEP_AGAIN: Duration = Duration::from_secs(30);

/// A configuration above this size, in bytes, is not written to disk as often as it changes.
const LARGE: usize = 4 << 20;

/// How long after a large configuration was written the next one is. Other than the usual delay of
/// backups, so that a node that makes them seldom writes both at once.
const PAUSE: Duration = Duration::from_secs(3);

/// Waits until nothing new can serve.
async fn ended(mut served: watch::Receiver<Option<Snapshot>>) {
    while served.changed().await.is_ok() {}
}

/// Writes what is served to disk, the newest only. What cannot be written is tried again, and told.
pub(super) async fn keep(
    mut cache: Cache,
    mut served: watch::Receiver<Option<Snapshot>>,
    messages: mpsc::Sender<Message>,
) {
    loop {
        let snapshot = served.borrow_and_update().clone();
        let is_large = (snapshot.as_ref()).is_some_and(|own| own.config_bytes() > LARGE);
        let written = spawn_blocking(move || {
            let sealed = cache.seal_all();
            let stored = snapshot.map_or(Ok(()), |snapshot| cache.store(&snapshot));
            (cache, sealed.and(stored))
        });
        let Ok((kept, result)) = written.await else {
            tracing::error!("the writer of the disk cache failed");
            return;
        };
        cache = kept;
        if let Err(error) = &result {
            // Whoever is told may be gone or busy; the next attempt tells again.
            let _ = messages.try_send(Message::NotKept(error.to_string()));
        }
        let again = async {
            match result {
                Ok(()) => std::future::pending().await,
                Err(_) => sleep(KEEP_AGAIN).await,
            }
        };
        if is_large && result.is_ok() {
            tokio::select! {
                () = sleep(PAUSE) => {}
                () = ended(served.clone()) => {}
            }
        }
        tokio::select! {
            changed = served.changed() => if changed.is_err() { return },
            () = again => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use keelgate_snapshot::{Position, build};
    use uuid::Uuid;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_a_full_disk_refused_is_written_later() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("cache");
        // A file in the place of the directory, as good as a disk that is full.
        std::fs::write(&directory, "").unwrap();
        let position = Position {
            cluster_id: Uuid::from_u128(1),
            epoch: 1,
            revision: 1,
        };
        let config = serde_json::json!({"_format_version": "3.0"});
        let snapshot = build(&config, position, "0.1.0", SystemTime::now(), None).unwrap();
        let (_serving, served) = watch::channel(Some(snapshot));
        let (messages, mut inbox) = mpsc::channel(1);
        let cache = Cache::new(directory.clone(), None);
        tokio::spawn(keep(cache, served, messages));
        let Some(Message::NotKept(error)) = inbox.recv().await else {
            panic!("not told");
        };
        assert!(error.contains("current.json"), "{error}");
        std::fs::remove_file(&directory).unwrap();
        while !directory.join("current.json").exists() {
            sleep(KEEP_AGAIN).await;
        }
    }
}
