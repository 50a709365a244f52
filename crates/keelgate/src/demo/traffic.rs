//! Steady requests through one data plane, every failure counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;

/// How many clients send at once, each one request after another.
const CLIENTS: usize = 4;

/// Requests that go on until [`Traffic::stop`].
pub(crate) struct Traffic {
    counts: Arc<Counts>,
    clients: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Counts {
    stop: AtomicBool,
    sent: AtomicU64,
    failed: AtomicU64,
}

impl Traffic {
    /// Begins to send `GET url`; anything but a whole answer with status 200 has failed.
    pub(crate) fn start(url: &str) -> Self {
        let counts = Arc::new(Counts::default());
        let clients = (0..CLIENTS)
            .map(|_| tokio::spawn(send(url.to_owned(), counts.clone())))
            .collect();
        Self { counts, clients }
    }

    /// Ends it: requests sent, and how many of them failed.
    pub(crate) async fn stop(self) -> (u64, u64) {
        self.counts.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            // A client that panicked has failed its last request.
            if client.await.is_err() {
                self.counts.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
        (
            self.counts.sent.load(Ordering::Relaxed),
            self.counts.failed.load(Ordering::Relaxed),
        )
    }
}

async fn send(url: String, counts: Arc<Counts>) {
    let client = reqwest::Client::new();
    while !counts.stop.load(Ordering::Relaxed) {
        counts.sent.fetch_add(1, Ordering::Relaxed);
        let good = match client.get(&url).send().await {
            Ok(answer) => answer.status() == 200 && answer.bytes().await.is_ok(),
            Err(_) => false,
        };
        if !good {
            counts.failed.fetch_add(1, Ordering::Relaxed);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
