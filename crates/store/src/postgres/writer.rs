//! Transactions that write.
//!
//! Every writer locks the one row of the cluster before it reads anything else, and holds it until
//! its commit: revisions have no gaps, and whatever a transaction has read still holds when it
//! commits. Writers of one node take turns before that, so that they hold one connection together.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use keelgate_entities::Schemas;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, watch};
use tokio_postgres::SimpleQueryRow;
use uuid::Uuid;

use super::audit;
use super::connections::Connections;
use super::read::{self, NOW};
use super::rows::PostgresRows;
use super::session::Session;
use crate::unix_time::time;
use crate::{Position, StoreError, Transaction, Work};

/// The channel on which commits are told of.
pub(super) const CHANNEL: &str = "keelgate_changes";

/// Revisions whose time and removals are remembered.
const KEPT_REVISIONS: u64 = 10_000;

/// Every so many commits, what is older is forgotten.
const FORGOTTEN_TOGETHER: u64 = 128;

/// How long the server lets a writer pause in the middle of its transaction. One that was stopped
/// must not keep all others from writing.
const LONGEST_PAUSE: &str = "30s";

/// How long to wait before the server is asked again whether a commit took place.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// What makes changes.
pub(super) struct Writer {
    pub(super) connections: Connections,
    pub(super) schemas: Arc<Schemas>,
    /// Longest wait for a turn.
    patience: Duration,
    /// The newest revision that is known.
    pub(super) newest: watch::Sender<u64>,
    turn: Arc<Mutex<()>>,
    /// Counts transactions that have changed or removed short-lived records.
    pub(super) generation: AtomicU64,
}

/// Where the cluster stands when a transaction begins, which nobody changes until it ends.
struct Standing {
    position: Position,
    /// By the server's clock, in milliseconds since 1970.
    now: i64,
}

/// What became of a transaction.
enum Outcome {
    Nothing,
    /// Short-lived records were written, which make no revision.
    Records,
    Change(Change),
}

/// What a commit changes of the cluster besides its revision.
#[derive(Clone, Copy)]
struct Change {
    epoch: u64,
    cluster_id: Uuid,
}

impl Writer {
    pub(super) fn new(connections: Connections, schemas: Arc<Schemas>, patience: Duration) -> Self {
        Self {
            connections,
            schemas,
            patience,
            newest: watch::Sender::new(0),
            turn: Arc::default(),
            generation: AtomicU64::new(0),
        }
    }

    /// Tells of a revision, unless a newer one is known.
    pub(super) fn announce(&self, revision: u64) {
        self.newest.send_if_modified(|newest| {
            let is_newer = revision > *newest;
            *newest = revision.max(*newest);
            is_newer
        });
    }

    /// Runs work in a transaction of its own, and answers the revision after it.
    pub(super) async fn transact(self: &Arc<Self>, work: Work) -> Result<u64, StoreError> {
        let schemas = Arc::clone(&self.schemas);
        let outdated = Arc::<AtomicBool>::default();
        let noted = Arc::clone(&outdated);
        let after = self.in_turn(move |session, standing| {
            let revision = next_revision(standing.position)?;
            let mut rows = PostgresRows::writing(session, revision, &schemas);
            let mut view = Transaction::new(&mut rows, &schemas, time(standing.now));
            work(&mut view)?;
            let (changed, wrote, told) = (view.changed(), view.wrote(), view.told());
            noted.store(view.outdated(), Ordering::Relaxed);
            rows.flush()?;
            if let Some(told) = told {
                audit::append(session, revision, told)?;
            }
            let (epoch, cluster_id) = (standing.position.epoch, standing.position.cluster_id);
            Ok(match (changed, wrote) {
                (true, _) => Outcome::Change(Change { epoch, cluster_id }),
                (false, true) => Outcome::Records,
                (false, false) => Outcome::Nothing,
            })
        });
        let after = after.await;
        // Also where it is not known whether that was committed.
        if outdated.load(Ordering::Relaxed) {
            self.generation.fetch_add(1, Ordering::Release);
        }
        after.map(|position| position.revision)
    }

    /// Begins an epoch above the present one and above `above`.
    pub(super) async fn begin_epoch(
        self: &Arc<Self>,
        above: u64,
        cluster_id: Option<Uuid>,
    ) -> Result<Position, StoreError> {
        self.in_turn(move |_, standing| {
            // Columns hold 63 bits.
            let epoch = standing.position.epoch.max(above).saturating_add(1);
            Ok(Outcome::Change(Change {
                epoch: epoch.min(i64::MAX.unsigned_abs()),
                cluster_id: cluster_id.unwrap_or(standing.position.cluster_id),
            }))
        })
        .await
    }

    /// Runs a job as the only writer of the cluster, and answers where that stands afterwards.
    async fn in_turn(
        self: &Arc<Self>,
        job: impl FnOnce(&mut Session, &Standing) -> Result<Outcome, StoreError> + Send + 'static,
    ) -> Result<Position, StoreError> {
        let turn = tokio::time::timeout(self.patience, Arc::clone(&self.turn).lock_owned());
        let turn = turn.await.map_err(|_| busy())?;
        let (writer, handle) = (Arc::clone(self), Handle::current());
        let done = tokio::task::spawn_blocking(move || {
            // Held to the end, even if nobody waits for the answer any more.
            let _turn = turn;
            // Work is arbitrary code. A panic drops the session, which rolls back.
            let outcome = catch_unwind(AssertUnwindSafe(|| writer.commit(&handle, job)))
                .unwrap_or(Err(StoreError::Aborted));
            if let Ok(position) = &outcome {
                writer.announce(position.revision);
            }
            outcome
        });
        done.await.unwrap_or(Err(StoreError::Aborted))
    }

    fn commit(
        &self,
        handle: &Handle,
        job: impl FnOnce(&mut Session, &Standing) -> Result<Outcome, StoreError>,
    ) -> Result<Position, StoreError> {
        let mut session = Session::take(&self.connections, handle)?;
        let standing = self.begin(&mut session)?;
        let change = match job(&mut session, &standing) {
            Ok(Outcome::Change(change)) => change,
            Ok(Outcome::Records) => {
                // A lost answer counts as a no: what is made here is made anew.
                session.end("COMMIT")?;
                return Ok(standing.position);
            }
            Ok(Outcome::Nothing) => {
                session.roll_back();
                return Ok(standing.position);
            }
            Err(error) => {
                session.roll_back();
                return Err(error);
            }
        };
        let position = Position {
            cluster_id: change.cluster_id,
            epoch: change.epoch,
            revision: next_revision(standing.position)?.unsigned_abs(),
        };
        let mark = Uuid::new_v4();
        match session.end(&ending(position, mark)) {
            Ok(()) => Ok(position),
            // The answer was lost, and with it the knowledge of whether it was a yes.
            Err(StoreError::Unavailable(reason)) => {
                drop(session);
                match self.was_committed(handle, position.revision, mark) {
                    Ok(true) => Ok(position),
                    Ok(false) => Err(StoreError::Unavailable(reason)),
                    Err(_) => Err(StoreError::Unknown(reason)),
                }
            }
            Err(error) => {
                session.roll_back();
                Err(error)
            }
        }
    }

    fn begin(&self, session: &mut Session) -> Result<Standing, StoreError> {
        let begin = format!(
            "{}; SELECT cluster_id, epoch, revision, {NOW} AS now FROM keelgate_cluster FOR UPDATE",
            self.beginning()
        );
        let rows = session.begin_waiting(&begin, self.patience + self.connections.timeout)?;
        let row = rows.last().ok_or_else(read::no_cluster)?;
        Ok(Standing {
            position: read::position_of(
                row.get("cluster_id").unwrap_or_default(),
                number(row, "epoch")?,
                number(row, "revision")?,
            )?,
            now: number(row, "now")?,
        })
    }

    /// Begins a transaction whose wait for the cluster's row is bounded.
    fn beginning(&self) -> String {
        format!(
            "BEGIN; SET LOCAL lock_timeout = {}; \
             SET LOCAL idle_in_transaction_session_timeout = '{LONGEST_PAUSE}'",
            self.patience.as_millis().max(1)
        )
    }

    /// Whether the transaction with this mark was committed. The lock waits for its end, where the
    /// server has not noticed yet that its connection is lost.
    fn was_committed(
        &self,
        handle: &Handle,
        revision: u64,
        mark: Uuid,
    ) -> Result<bool, StoreError> {
        let question = format!(
            "{}; SELECT FROM keelgate_cluster FOR UPDATE",
            self.beginning()
        );
        let deadline = Instant::now() + self.connections.timeout;
        loop {
            let ask = || {
                let mut session = Session::take(&self.connections, handle)?;
                session.begin_waiting(&question, self.patience + self.connections.timeout)?;
                let found = session.query(
                    "SELECT FROM keelgate_revisions WHERE revision = $1 AND mark = $2",
                    &[&revision.cast_signed(), &mark.to_string()],
                )?;
                session.roll_back();
                Ok(!found.is_empty())
            };
            match ask() {
                Err(StoreError::Unavailable(_)) if Instant::now() < deadline => {
                    handle.block_on(tokio::time::sleep(ASK_AGAIN));
                }
                answer => return answer,
            }
        }
    }
}

/// What stands at the end of a transaction that has changed something.
fn ending(position: Position, mark: Uuid) -> String {
    let Position {
        cluster_id,
        epoch,
        revision,
    } = position;
    let mut forget = String::new();
    if revision % FORGOTTEN_TOGETHER == 0 {
        let forgotten = revision.saturating_sub(KEPT_REVISIONS);
        forget = format!(
            "DELETE FROM keelgate_revisions WHERE revision <= {forgotten};
             DELETE FROM keelgate_removals WHERE revision <= {forgotten};"
        );
    }
    format!(
        "UPDATE keelgate_cluster
            SET cluster_id = '{cluster_id}', epoch = {epoch}, revision = {revision};
         INSERT INTO keelgate_revisions (revision, committed_at, mark)
            VALUES ({revision}, {NOW}, '{mark}');
         {forget} NOTIFY {CHANNEL}; COMMIT"
    )
}

fn next_revision(position: Position) -> Result<i64, StoreError> {
    i64::try_from(position.revision)
        .ok()
        .and_then(|revision| revision.checked_add(1))
        .ok_or_else(|| StoreError::Postgres("the revisions are used up".to_owned()))
}

fn number(row: &SimpleQueryRow, column: &str) -> Result<i64, StoreError> {
    row.get(column)
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| StoreError::Postgres(format!("keelgate_cluster holds no {column}")))
}

fn busy() -> StoreError {
    StoreError::Unavailable("other writers did not finish in time".to_owned())
}
