//! A queue of records between requests and the server that they are sent to.
//!
//! Requests never wait: when there is no room, the oldest records go. A batch that cannot be sent
//! is tried again, less and less often, until it is given up. What is lost is counted, and told in
//! the log.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use keelgate_entities::schema::Field;
use serde::Deserialize;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep, timeout_at};

use super::delivery::Delivery;
use crate::setting::null_as_default;

/// Batches that are sent at the same time, where their number is not limited to one.
const MOST_AT_ONCE: usize = 64;

/// For how long what waits is still sent when the configuration that put it there is gone.
const AFTER_CLOSE: Duration = Duration::from_secs(60);

/// Settings of a queue.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub(crate) struct Settings {
    /// Records per batch.
    pub(crate) max_batch_size: usize,
    /// Seconds that a batch waits for more records.
    pub(crate) max_coalescing_delay: f64,
    pub(crate) max_entries: usize,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) max_bytes: Option<usize>,
    /// Seconds after which a batch is given up.
    pub(crate) max_retry_time: f64,
    /// Seconds until a batch is first tried again.
    pub(crate) initial_retry_delay: f64,
    /// Seconds between two tries, at most.
    pub(crate) max_retry_delay: f64,
    /// 1, or -1 for no limit.
    pub(crate) concurrency_limit: i8,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_batch_size: 1,
            max_coalescing_delay: 1.0,
            max_entries: 10_000,
            max_bytes: None,
            max_retry_time: 60.0,
            initial_retry_delay: 0.01,
            max_retry_delay: 60.0,
            concurrency_limit: 1,
        }
    }
}

impl Settings {
    /// For records that are sent in datagrams: all that wait, once, since nobody knows whether a
    /// datagram arrived.
    pub(crate) fn of_datagrams() -> Self {
        Self {
            max_retry_time: -1.0,
            ..Self::of_lines()
        }
    }

    /// For plugins without the setting: what comes within a moment goes together. Waking a thread
    /// and opening what it sends through costs more than the record does.
    pub(crate) fn of_lines() -> Self {
        Self {
            max_batch_size: 256,
            max_coalescing_delay: 0.01,
            ..Self::default()
        }
    }

    /// The settings that older configurations have beside the queue count where they say something
    /// else than their old defaults.
    pub(crate) fn with_old(
        mut self,
        size: Option<usize>,
        delay: Option<f64>,
        old: (usize, f64),
    ) -> Self {
        if let Some(size) = size.filter(|size| *size != old.0) {
            self.max_batch_size = size;
        }
        if let Some(delay) = delay.filter(|delay| *delay != old.1) {
            self.max_coalescing_delay = delay;
        }
        self
    }
}

/// The setting.
pub(crate) fn setting() -> Field {
    Field::record(
        "queue",
        [
            Field::integer("max_batch_size")
                .default(1)
                .between(1.0, 1_000_000.0)
                .description("Records that are sent together, at most."),
            Field::number("max_coalescing_delay")
                .default(1)
                .between(0.0, 3600.0)
                .description("Seconds that records wait for others to be sent with."),
            Field::integer("max_entries")
                .default(10_000)
                .between(1.0, 1_000_000.0)
                .description("Records that wait, at most; beyond, the oldest go."),
            Field::integer("max_bytes")
                .description("Bytes of records that wait, at most; beyond, the oldest go."),
            Field::number("max_retry_time")
                .default(60)
                .description("Seconds after which records that cannot be sent are given up."),
            Field::number("initial_retry_delay")
                .default(0.01)
                .between(0.001, 1_000_000.0)
                .description(
                    "Seconds until records are first tried again; each time twice as long.",
                ),
            Field::number("max_retry_delay")
                .default(60)
                .between(0.001, 1_000_000.0)
                .description("Seconds between two tries, at most."),
            Field::integer("concurrency_limit")
                .default(1)
                .one_of([-1, 1])
                .description("Batches that are sent at the same time: one, or any number for -1."),
        ],
    )
}

/// Where batches go.
pub(crate) trait Sink: Send + Sync + 'static {
    /// Sends a batch. The error says what went wrong, without secrets.
    fn send(&self, batch: &[Bytes]) -> impl Future<Output = Result<(), String>> + Send;
}

/// The end of a queue that records are put into. What waits is still sent when it is dropped.
///
/// The lock is held for as long as it takes to put a record into its place: cores that log to the
/// same queue must agree on which record is the oldest.
pub(crate) struct Queue {
    shared: Arc<Shared>,
    /// Begins with the first record, so that configurations that are only looked at cost nothing.
    began: Once,
    begin: Box<dyn Fn() + Send + Sync>,
}

struct Shared {
    settings: Settings,
    waiting: Mutex<Waiting>,
    changed: Notify,
    /// Who is told of in logs.
    name: String,
    delivery: Arc<Delivery>,
}

#[derive(Debug, Default)]
struct Waiting {
    records: VecDeque<Bytes>,
    bytes: usize,
    /// Records that had to go since the last batch.
    lost: u64,
    closed: Option<Instant>,
}

impl Queue {
    /// A queue that leads to a sink. `name` tells it apart in logs.
    pub(crate) fn new(
        settings: Settings,
        name: String,
        sink: impl Sink,
        delivery: &Arc<Delivery>,
    ) -> Self {
        let shared = Arc::new(Shared {
            settings,
            waiting: Mutex::default(),
            changed: Notify::new(),
            name,
            delivery: Arc::clone(delivery),
        });
        let sink = Arc::new(sink);
        let begin = {
            let shared = Arc::clone(&shared);
            move || {
                let task = Arc::clone(&shared).deliver(Arc::clone(&sink));
                if let Err(problem) = shared.delivery.spawn(task) {
                    tracing::error!(queue = shared.name, "no records are sent: {problem}");
                }
            }
        };
        Self {
            shared,
            began: Once::new(),
            begin: Box::new(begin),
        }
    }

    pub(crate) fn push(&self, record: Bytes) {
        self.began.call_once(&self.begin);
        if self.shared.push(record) {
            self.shared.changed.notify_one();
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        if self.began.is_completed() {
            self.shared.close();
        }
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("name", &self.shared.name)
            .finish_non_exhaustive()
    }
}

impl Waiting {
    fn pop(&mut self) -> Option<Bytes> {
        let record = self.records.pop_front()?;
        self.bytes -= record.len();
        Some(record)
    }
}

impl Shared {
    /// What waits. Nothing is left half done under the lock, so that a panic elsewhere does not
    /// matter.
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether who sends is to be woken: for the first record, and for the one that makes a batch whole. Those
    /// between wait for others anyway.
    fn push(&self, record: Bytes) -> bool {
        let most = self.settings.max_bytes.unwrap_or(usize::MAX);
        let room = self.settings.max_entries.max(1);
        let mut waiting = self.waiting();
        if record.len() > most {
            waiting.lost += 1;
            return false;
        }
        while waiting.records.len() >= room || record.len() > most - waiting.bytes {
            waiting.pop();
            waiting.lost += 1;
        }
        waiting.bytes += record.len();
        waiting.records.push_back(record);
        let records = waiting.records.len();
        records == 1 || records == self.batch()
    }

    fn close(&self) {
        self.waiting().closed = Some(Instant::now());
        self.changed.notify_one();
    }

    /// Batches that are sent at the same time.
    fn at_once(&self) -> usize {
        match self.settings.concurrency_limit {
            1 => 1,
            _ => MOST_AT_ONCE,
        }
    }

    /// Records of a whole batch.
    fn batch(&self) -> usize {
        match self.at_once() {
            1 => self.settings.max_batch_size.max(1),
            // What may be sent beside others does not wait for others.
            _ => 1,
        }
    }

    /// Sends until the queue is closed and empty.
    async fn deliver(self: Arc<Self>, sink: Arc<impl Sink>) {
        let at_once = Arc::new(Semaphore::new(self.at_once()));
        while let Some(batch) = self.next_batch().await {
            if self.at_once() == 1 {
                self.send(&*sink, &batch).await;
                continue;
            }
            let Ok(permit) = Arc::clone(&at_once).acquire_owned().await else {
                return;
            };
            let (queue, sink) = (Arc::clone(&self), Arc::clone(&sink));
            tokio::spawn(async move {
                queue.send(&*sink, &batch).await;
                drop(permit);
            });
        }
        // Those that are still being sent.
        let _ = at_once.acquire_many(self.at_once() as u32).await;
    }

    /// The next batch; none when the queue is closed, and all was sent or too late to be.
    async fn next_batch(&self) -> Option<Vec<Bytes>> {
        let ending = self.delivery.ending();
        let mut until = None;
        loop {
            {
                let mut waiting = self.waiting();
                self.tell_lost(&mut waiting);
                let closed = waiting.closed.is_some() || ending.is_cancelled();
                if closed && (waiting.records.is_empty() || self.is_too_late(&waiting)) {
                    waiting.lost += waiting.records.len() as u64;
                    waiting.records.clear();
                    waiting.bytes = 0;
                    self.tell_lost(&mut waiting);
                    return None;
                }
                let due = until.is_some_and(|until| Instant::now() >= until);
                let most = self.batch();
                let full = waiting.records.len() >= most;
                if full || (!waiting.records.is_empty() && (due || closed)) {
                    let batch = (0..most).map_while(|_| waiting.pop());
                    return Some(batch.collect());
                }
                if !waiting.records.is_empty() && until.is_none() {
                    until = Some(Instant::now() + seconds(self.settings.max_coalescing_delay));
                }
            }
            let change = async {
                tokio::select! {
                    () = self.changed.notified() => {}
                    () = ending.cancelled() => {}
                }
            };
            match until {
                // The time being over is seen above.
                Some(until) => {
                    let _ = timeout_at(until, change).await;
                }
                None => change.await,
            }
        }
    }

    /// Whether what waits in a closed queue is not worth another try.
    fn is_too_late(&self, waiting: &Waiting) -> bool {
        let since = waiting.closed.map(|closed| closed.elapsed());
        since.is_some_and(|since| since > AFTER_CLOSE)
    }

    fn tell_lost(&self, waiting: &mut Waiting) {
        let lost = std::mem::take(&mut waiting.lost);
        if lost > 0 {
            self.delivery.lose(lost);
            tracing::error!(
                queue = self.name,
                lost,
                "records are lost: there was no room for them, or no time"
            );
        }
    }

    /// Sends a batch, again and again if need be.
    async fn send(&self, sink: &impl Sink, batch: &[Bytes]) {
        let began = Instant::now();
        let settings = &self.settings;
        let mut delay = settings.initial_retry_delay;
        while let Err(problem) = sink.send(batch).await {
            let records = batch.len();
            let give_up = began.elapsed().as_secs_f64() > settings.max_retry_time
                || self.is_too_late(&self.waiting());
            if give_up {
                self.delivery.lose(records as u64);
                tracing::error!(
                    queue = self.name,
                    records,
                    problem,
                    "records are given up: they could not be sent"
                );
                return;
            }
            tracing::warn!(
                queue = self.name,
                records,
                problem,
                "records could not be sent yet"
            );
            sleep(seconds(delay.min(settings.max_retry_delay))).await;
            delay *= 2.0;
        }
    }
}

/// A duration; a number that is none counts as a day.
fn seconds(number: f64) -> Duration {
    Duration::try_from_secs_f64(number).unwrap_or(Duration::from_secs(86_400))
}

#[cfg(test)]
mod tests;
