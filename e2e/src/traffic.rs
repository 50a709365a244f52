//! Steady requests that count every failure.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::progress::Progress;

/// Requests sent one after another by several clients until [`Traffic::stop_without_failures`].
pub struct Traffic {
    progress: Arc<Progress>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

impl Traffic {
    /// Begins to send `GET url`. Anything but 200 is a failure.
    pub fn start(url: String) -> Self {
        let progress = Arc::new(Progress::default());
        let clients = (0..4)
            .map(|_| {
                let (progress, url) = (Arc::clone(&progress), url.clone());
                tokio::spawn(async move {
                    // Nodes under test show certificates that they have made themselves.
                    let client = reqwest::Client::builder()
                        .tls_danger_accept_invalid_certs(true)
                        .build()
                        .expect("a client can be made");
                    let mut failures = Vec::new();
                    while progress.goes_on() {
                        progress.count();
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
        Self { progress, clients }
    }

    /// Waits until this many more requests were sent.
    pub async fn more(&self, count: u64) {
        self.progress.more(count).await;
    }

    /// Stops, and panics if any request failed. Returns how many were sent.
    pub async fn stop_without_failures(self) -> u64 {
        self.progress.stop();
        let mut failures = Vec::new();
        for client in self.clients {
            failures.extend(client.await.expect("a client does not panic"));
        }
        self.progress.without(&failures)
    }
}
