//! The thread that owns the only writing connection.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use keelgate_entities::Schemas;
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{oneshot, watch};

use super::audit;
use super::counter;
use super::read;
use super::write::SqliteRows;
use crate::journal::Journal;
use crate::unix_time::milliseconds;
use crate::{Amount, Counted, StoreError, Transaction, Work};

/// How often the writer looks whether another process changed the file (an import from the
/// command line beside a running node).
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Revisions whose time is remembered.
const KEPT_REVISIONS: i64 = 10_000;

/// Counts that are committed together.
const COUNTED_TOGETHER: usize = 512;

enum Job {
    Work(Work, oneshot::Sender<Result<u64, StoreError>>),
    Count(Count),
}

struct Count {
    amounts: Vec<Amount>,
    answer: oneshot::Sender<Result<Counted, StoreError>>,
}

/// Handle of the writer thread; dropping it lets queued work finish and ends the thread.
pub(super) struct Writer {
    // Taken when dropped, which is what tells the thread to end.
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(
        connection: Connection,
        schemas: Arc<Schemas>,
        told: Told,
        path: &Path,
    ) -> Result<Self, StoreError> {
        let (jobs, queue) = channel();
        let mut state = State {
            connection,
            schemas,
            told,
        };
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || state.serve(&queue))
            .map_err(|source| StoreError::Open {
                path: path.to_owned(),
                source,
            })?;
        Ok(Self {
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    pub(super) fn run(
        &self,
        work: Work,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send + 'static {
        let (answer, done) = oneshot::channel();
        self.send(Job::Work(work, answer), done)
    }

    pub(super) fn count(
        &self,
        amounts: Vec<Amount>,
    ) -> impl Future<Output = Result<Counted, StoreError>> + Send + 'static {
        let (answer, done) = oneshot::channel();
        self.send(Job::Count(Count { amounts, answer }), done)
    }

    fn send<T: Send + 'static>(
        &self,
        job: Job,
        done: oneshot::Receiver<Result<T, StoreError>>,
    ) -> impl Future<Output = Result<T, StoreError>> + Send + 'static {
        let sent = self
            .jobs
            .as_ref()
            .is_some_and(|jobs| jobs.send(job).is_ok());
        async move {
            if !sent {
                return Err(StoreError::Closed);
            }
            done.await.unwrap_or(Err(StoreError::Closed))
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // The thread catches what work panics with; there is nothing to learn from joining.
            let _ = thread.join();
        }
    }
}

struct State {
    connection: Connection,
    schemas: Arc<Schemas>,
    told: Told,
}

/// Who is told of commits.
pub(super) struct Told {
    pub(super) publish: watch::Sender<u64>,
    /// Held across each commit, so that whoever sees a revision finds what it has touched.
    pub(super) journal: Arc<Mutex<Journal>>,
    /// Counts commits that have changed or removed records.
    pub(super) generation: Arc<AtomicU64>,
}

impl State {
    fn serve(&mut self, queue: &Receiver<Job>) {
        let mut seen = self.data_version();
        let mut look = Instant::now() + LOOK_INTERVAL;
        loop {
            match queue.recv_timeout(look.saturating_duration_since(Instant::now())) {
                Ok(Job::Work(work, answer)) => self.answer(work, answer),
                Ok(Job::Count(first)) => {
                    let mut counts = vec![first];
                    let mut next = None;
                    while counts.len() < COUNTED_TOGETHER && next.is_none() {
                        match queue.try_recv() {
                            Ok(Job::Count(count)) => counts.push(count),
                            Ok(Job::Work(work, answer)) => next = Some((work, answer)),
                            Err(_) => break,
                        }
                    }
                    self.count(counts);
                    if let Some((work, answer)) = next {
                        self.answer(work, answer);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if Instant::now() >= look {
                if let Err(error) = self.look_around(&mut seen) {
                    tracing::warn!(%error, "the database cannot be read");
                }
                look = Instant::now() + LOOK_INTERVAL;
            }
        }
    }

    fn answer(&mut self, work: Work, answer: oneshot::Sender<Result<u64, StoreError>>) {
        let outcome = self.attempt(work);
        // Nobody may be waiting any more; the change stands all the same.
        let _ = answer.send(outcome);
    }

    /// Commits counts together, and answers each.
    fn count(&mut self, counts: Vec<Count>) {
        match self.commit_counts(&counts) {
            Ok(answers) => {
                for (count, answer) in counts.into_iter().zip(answers) {
                    let _ = count.answer.send(Ok(answer));
                }
            }
            Err(error) => {
                tracing::error!(%error, "requests cannot be counted");
                for count in counts {
                    let _ = count.answer.send(Err(StoreError::Aborted));
                }
            }
        }
    }

    fn commit_counts(&mut self, counts: &[Count]) -> Result<Vec<Counted>, StoreError> {
        // Counts need not survive a power cut: the next durable commit synchronises them, too.
        self.connection
            .pragma_update(None, "synchronous", "normal")?;
        let committed = self.add_all(counts);
        self.connection.pragma_update(None, "synchronous", "full")?;
        committed
    }

    fn add_all(&mut self, counts: &[Count]) -> Result<Vec<Counted>, StoreError> {
        let now = milliseconds(SystemTime::now());
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let answers = counts
            .iter()
            .map(|count| counter::add(&transaction, &count.amounts, now))
            .collect::<Result<Vec<_>, _>>()?;
        transaction.commit()?;
        Ok(answers)
    }

    /// Commits work and tells of it.
    fn attempt(&mut self, work: Work) -> Result<u64, StoreError> {
        // Work is arbitrary code: a panic in one piece must not end all writing.
        let outcome = catch_unwind(AssertUnwindSafe(|| self.commit(work)))
            .unwrap_or(Err(StoreError::Aborted));
        if let Ok(revision) = outcome {
            self.announce(revision);
        }
        outcome
    }

    /// Tells of changes by other processes, and removes what has expired.
    fn look_around(&mut self, seen: &mut Option<i64>) -> Result<(), StoreError> {
        let now = self.data_version();
        if now != *seen {
            *seen = now;
            self.announce(read::position(&self.connection)?.revision);
        }
        let now = milliseconds(SystemTime::now());
        counter::forget(&self.connection, now)?;
        let expired = read::expired(&self.connection, now)?;
        if !expired.is_empty() {
            self.attempt(Box::new(move |transaction| {
                for (kind, id) in &expired {
                    transaction.delete(kind, id)?;
                }
                Ok(())
            }))?;
        }
        Ok(())
    }

    /// Runs work in a transaction of its own and commits it with a new revision.
    fn commit(&mut self, work: Work) -> Result<u64, StoreError> {
        // Dropped before its commit, on an error or a panic, a transaction rolls back.
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut rows = SqliteRows(&transaction);
        let mut view = Transaction::new(&mut rows, &self.schemas, SystemTime::now());
        work(&mut view)?;
        let (changed, wrote, outdated) = (view.changed(), view.wrote(), view.outdated());
        let (told, touched) = (view.told(), view.touched());
        let mut revision = read::position(&transaction)?.revision;
        if changed {
            revision += 1;
            record(&transaction, revision)?;
            if let Some(told) = told {
                audit::append(&transaction, revision, told)?;
            }
            let mut journal = self.told.journal.lock();
            let journal = journal.as_mut().unwrap_or_else(PoisonError::get_mut);
            transaction.commit()?;
            journal.note(revision - 1, revision, touched);
        } else if wrote {
            transaction.commit()?;
        }
        if outdated {
            self.told.generation.fetch_add(1, Ordering::Release);
        }
        Ok(revision)
    }

    fn announce(&self, revision: u64) {
        self.told.publish.send_if_modified(|current| {
            let newer = revision > *current;
            if newer {
                *current = revision;
            }
            newer
        });
    }

    /// Changes when another connection commits.
    fn data_version(&self) -> Option<i64> {
        self.connection
            .pragma_query_value(None, "data_version", |row| row.get(0))
            .ok()
    }
}

pub(super) fn record(connection: &Connection, revision: u64) -> Result<(), StoreError> {
    let revision = revision.cast_signed();
    connection
        .prepare_cached("INSERT INTO revisions (revision, committed_at) VALUES (?1, ?2)")?
        .execute([revision, milliseconds(SystemTime::now())])?;
    connection
        .prepare_cached("DELETE FROM revisions WHERE revision <= ?1")?
        .execute([revision - KEPT_REVISIONS])?;
    Ok(())
}
