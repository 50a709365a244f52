//! Steady requests that count every failure.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;

/// Requests sent one after another by several clients until [`Traffic::stop_without_failures`].
pub struct Traffic {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

impl Traffic {
    /// Begins to send `GET url`. Anything but 200 is a failure.
    pub fn start(url: String) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(AtomicU64::new(0));
        let clients = (0..4)
            .map(|_| {
                let (stop, sent, url) = (stop.clone(), sent.clone(), url.clone());
                tokio::spawn(async move {
                    // Nodes under test show certificates that they have made themselves.
                    let client = reqwest::Client::builder()
                        .tls_danger_accept_invalid_certs(true)
                        .build()
                        .expect("a client can be made");
                    let mut failures = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        sent.fetch_add(1, Ordering::Relaxed);
                        match client.get(&url).send().await {
                            Ok(answer) if answer.status() == 200 => {
                                if let Err(error) = answer.bytes().await {
                                    failures.push(format!("body: {error:?}"));
                                }
                            }
                            Ok(answer) => failures.push(format!("status {}", answer.status())),
                            Err(error) => failures.push(format!("{error:?}")),
                        }
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                    failures
                })
            })
            .collect();
        Self {
            stop,
            sent,
            clients,
        }
    }

    /// Waits until this many more requests were sent.
    pub async fn more(&self, count: u64) {
        let goal = self.sent.load(Ordering::Relaxed) + count;
        while self.sent.load(Ordering::Relaxed) < goal {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Stops, and panics if any request failed. Returns how many were sent.
    pub async fn stop_without_failures(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let mut failures = Vec::new();
        for client in self.clients {
            failures.extend(client.await.expect("a client does not panic"));
        }
        let sent = self.sent.load(Ordering::Relaxed);
        assert!(sent > 0, "no request was sent");
        assert!(
            failures.is_empty(),
            "{} of {sent} requests failed, first: {}",
            failures.len(),
            failures[0]
        );
        sent
    }
}
