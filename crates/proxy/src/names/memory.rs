//! What is known of names, shared by all workers.

use std::sync::Arc;

use rustc_hash::FxBuildHasher;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::Answer;
use super::answer::Heard;
use crate::settings::Dns;

/// A name to ask for, and who waits for the answer.
pub(crate) struct Ask {
    pub(super) name: Arc<str>,
    pub(super) told: Option<oneshot::Sender<Arc<Answer>>>,
}

/// Names to ask for.
pub(crate) type Asks = mpsc::Receiver<Ask>;

/// Names that may wait to be asked for. Beyond, requests wait for room.
const WAITING: usize = 1024;

/// What is known of names. Reading takes no lock.
pub(crate) struct Names {
    settings: Dns,
    known: papaya::HashMap<Arc<str>, Arc<Answer>, FxBuildHasher>,
    asks: mpsc::Sender<Ask>,
}

impl Names {
    /// Knows nothing yet; somebody has to serve the asks ([`super::asking::serve`]).
    pub(crate) fn new(settings: Dns) -> (Arc<Self>, Asks) {
        let (asks, asked) = mpsc::channel(WAITING);
        let names = Self {
            settings,
            known: papaya::HashMap::default(),
            asks,
        };
        (Arc::new(names), asked)
    }

    /// What is known of a name; waits only where nothing usable is.
    pub(crate) async fn answer(&self, name: &str) -> Arc<Answer> {
        let now = Instant::now();
        if let Some(answer) = self.known(name) {
            if answer.is_valid(now) {
                return answer;
            }
            if answer.is_usable(now) {
                if answer.claim() {
                    let ask = Ask {
                        name: name.into(),
                        told: None,
                    };
                    if self.asks.try_send(ask).is_err() {
                        answer.unclaim();
                    }
                }
                return answer;
            }
        }
        self.next(name.into()).await
    }

    /// What is known of a name; waits for a new answer where that has run out.
    pub(crate) async fn fresh(&self, name: Arc<str>) -> Arc<Answer> {
        match self.known(&name) {
            Some(answer) if answer.is_valid(Instant::now()) => answer,
            _ => self.next(name).await,
        }
    }

    async fn next(&self, name: Arc<str>) -> Arc<Answer> {
        let (told, hear) = oneshot::channel();
        let ask = Ask {
            name,
            told: Some(told),
        };
        match self.asks.send(ask).await {
            Ok(()) => hear.await.unwrap_or_else(|_| Arc::new(Answer::closed())),
            Err(_) => Arc::new(Answer::closed()),
        }
    }

    /// What was heard last of a name, however old.
    pub(crate) fn known(&self, name: &str) -> Option<Arc<Answer>> {
        self.known.pin().get(name).cloned()
    }

    /// Remembers what was heard.
    pub(super) fn learn(&self, name: &Arc<str>, heard: Heard) -> Arc<Answer> {
        let now = Instant::now();
        let known = self.known.pin();
        let before = known.get(name).cloned();
        let answer = Arc::new(Answer::after(before.as_deref(), heard, &self.settings, now));
        if before.is_none() && known.len() >= self.settings.cache_size.max(1) {
            known.retain(|_, answer| !answer.is_over(now));
            if known.len() >= self.settings.cache_size.max(1) {
                known.clear();
            }
        }
        known.insert(Arc::clone(name), Arc::clone(&answer));
        answer
    }
}
