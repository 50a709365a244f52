//! A queue of records between requests and the server that they are sent to.
//!
//! Each core writes its records on a page of its own, which it hands over when it is full; what is on
//! pages that are not is collected when a batch is due. Requests never wait: when there is no room,
//! the oldest records go. A batch that cannot be sent
//! is tried again, less and less often, until it is given up. What is lost is counted, and told in
//! the log.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use keelgate_entities::schema::Field;
use serde::Deserialize;
use thread_local::ThreadLocal;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep, timeout_at};

use super::batch::Batch;
use super::delivery::Delivery;
use super::page::{self, Added, Page};
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
    /// What stands behind each record on its page.
    const BEHIND: Option<u8> = None;

    /// Sends a batch. The error says what went wrong, without secrets.
    fn send(&self, batch: &Batch) -> impl Future<Output = Result<(), String>> + Send;
}

/// The end of a queue that records are put into. What waits is still sent when it is dropped.
pub(crate) struct Queue {
    shared: Arc<Shared>,
    /// Begins with the first record, so that configurations that are only looked at cost nothing.
    began: Once,
    begin: Box<dyn Fn() + Send + Sync>,
}

struct Shared {
    settings: Settings,
    /// What stands behind each record.
    behind: Option<u8>,
    /// Of each core; the lock is nearly always free.
    pages: ThreadLocal<Mutex<Page>>,
    /// Whether who sends knows that there is something on a page, or is about to be told.
    expected: AtomicBool,
    waiting: Mutex<Waiting>,
    changed: Notify,
    /// Who is told of in logs.
    name: String,
    delivery: Arc<Delivery>,
}

#[derive(Debug, Default)]
struct Waiting {
    records: Batch,
    /// Records that had to go since the last batch.
    lost: u64,
    closed: Option<Instant>,
}

impl Queue {
    /// A queue that leads to a sink. `name` tells it apart in logs.
    pub(crate) fn new<S: Sink>(
        settings: Settings,
        name: String,
        sink: S,
        delivery: &Arc<Delivery>,
    ) -> Self {
        let shared = Arc::new(Shared::new(settings, S::BEHIND, name, delivery));
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

    /// Adds the record that `write` appends to what it is given, where it does append something.
    pub(crate) fn push(&self, write: impl FnOnce(&mut Vec<u8>)) {
        self.began.call_once(&self.begin);
        if self.shared.push(write) {
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
    fn lose(&mut self, records: usize) {
        self.lost += self.records.take(records).len() as u64;
    }
}

/// Nothing is left half done under these locks, so that a panic elsewhere does not matter.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn new(settings: Settings, behind: Option<u8>, name: String, delivery: &Arc<Delivery>) -> Self {
        Self {
            settings,
            behind,
            pages: ThreadLocal::new(),
            expected: AtomicBool::new(false),
            waiting: Mutex::new(Waiting {
                records: Batch::new(behind),
                ..Waiting::default()
            }),
            changed: Notify::new(),
            name,
            delivery: Arc::clone(delivery),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        locked(&self.waiting)
    }

    /// Whether who sends is to be woken: for the first record, and for the one that makes a batch
    /// whole. Those between wait for others anyway.
    fn push(&self, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut page = locked(self.pages.get_or_default());
        if page.is_blank() {
            *page = self.delivery.page();
        }
        let most = self.settings.max_bytes.unwrap_or(usize::MAX);
        match page.add(self.behind, most, write) {
            Added::Record => {}
            Added::Nothing => return false,
            Added::TooLong => {
                drop(page);
                self.waiting().lost += 1;
                return false;
            }
        }
        let becomes_whole = if page.len() < self.apart() && page.size() < page::USUAL {
            drop(page);
            false
        } else {
            let full = std::mem::take(&mut *page);
            drop(page);
            self.hand_over(full)
        };
        let is_expected =
            self.expected.load(Ordering::SeqCst) || self.expected.swap(true, Ordering::SeqCst);
        becomes_whole || !is_expected
    }

    /// Whether that makes a batch whole.
    fn hand_over(&self, page: Page) -> bool {
        let most = self.settings.max_bytes.unwrap_or(usize::MAX);
        let mut waiting = self.waiting();
        let before = waiting.records.len();
        waiting.records.add(page);
        let records = waiting.records.len();
        let above = records.saturating_sub(self.settings.max_entries.max(1));
        waiting.lose(above);
        while waiting.records.bytes() > most {
            waiting.lose(1);
        }
        (before + 1..=records).contains(&self.batch())
    }

    /// Takes what is on the pages of all cores.
    fn collect(&self) {
        // Before it looks: whoever writes later tells of it.
        self.expected.store(false, Ordering::SeqCst);
        for page in &self.pages {
            let page = {
                let mut page = locked(page);
                if page.len() == 0 {
                    continue;
                }
                std::mem::take(&mut *page)
            };
            self.hand_over(page);
        }
    }

    /// Records that a core keeps on its page, at most. Small queues are to be exact.
    fn apart(&self) -> usize {
        let settings = &self.settings;
        let exact = settings
            .max_bytes
            .is_some_and(|most| most < 128 * page::USUAL);
        let least = settings.max_entries.min(self.batch());
        if exact { 1 } else { (least / 8).clamp(1, 64) }
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
                self.send(&*sink, batch).await;
                continue;
            }
            let Ok(permit) = Arc::clone(&at_once).acquire_owned().await else {
                return;
            };
            let (queue, sink) = (Arc::clone(&self), Arc::clone(&sink));
            tokio::spawn(async move {
                queue.send(&*sink, batch).await;
                drop(permit);
            });
        }
        // Those that are still being sent.
        let _ = at_once.acquire_many(self.at_once() as u32).await;
    }

    /// The next batch; none when the queue is closed, and all was sent or too late to be.
    async fn next_batch(&self) -> Option<Batch> {
        let ending = self.delivery.ending();
        let mut until = None;
        loop {
            let closed = self.waiting().closed.is_some() || ending.is_cancelled();
            let due = until.is_some_and(|until| Instant::now() >= until);
            if due || closed {
                self.collect();
            }
            {
                let mut waiting = self.waiting();
                self.tell_lost(&mut waiting);
                if closed && (waiting.records.is_empty() || self.is_too_late(&waiting)) {
                    waiting.lose(usize::MAX);
                    self.tell_lost(&mut waiting);
                    return None;
                }
                let most = self.batch();
                let full = waiting.records.len() >= most;
                if full || (!waiting.records.is_empty() && (due || closed)) {
                    return Some(waiting.records.take(most));
                }
                let something = !waiting.records.is_empty() || self.expected.load(Ordering::SeqCst);
                until = match until {
                    Some(until) if !due => Some(until),
                    _ if something => {
                        Some(Instant::now() + seconds(self.settings.max_coalescing_delay))
                    }
                    _ => None,
                };
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
    async fn send(&self, sink: &impl Sink, batch: Batch) {
        let began = Instant::now();
        let settings = &self.settings;
        let mut delay = settings.initial_retry_delay;
        while let Err(problem) = sink.send(&batch).await {
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
                break;
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
        self.delivery.take_back(batch);
    }
}

/// A duration; a number that is none counts as a day.
fn seconds(number: f64) -> Duration {
    Duration::try_from_secs_f64(number).unwrap_or(Duration::from_secs(86_400))
}

#[cfg(test)]
mod tests;
