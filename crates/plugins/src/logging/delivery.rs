//! The thread that records are delivered on, apart from those that serve requests.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::batch::Batch;
use super::page::Page;

/// The thread of a node; it begins when it is first needed.
#[derive(Debug, Default)]
pub(crate) struct Delivery {
    thread: OnceLock<Option<Handle>>,
    tasks: TaskTracker,
    ending: CancellationToken,
    lost: AtomicU64,
    /// Pages to be written on again.
    spare: Mutex<Vec<Page>>,
}

/// Pages that are kept to be written on again.
const MOST_SPARE: usize = 64;

impl Delivery {
    /// Runs a task until its end, or until the node ends.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn spawn(
        &self,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), NoThread> {
        let thread = self.thread.get_or_init(start).as_ref().ok_or(NoThread)?;
        self.tasks.spawn_on(task, thread);
        Ok(())
    }

    /// Runs a task that is given up when the node ends.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn spawn_until_end(
        &self,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), NoThread> {
        let ending = self.ending.clone();
        self.spawn(async move {
            tokio::select! {
                () = ending.cancelled() => {}
                () = task => {}
            }
        })
    }

    /// Cancelled when what waits is to be sent at once, since nothing will be sent later.
    pub(super) fn ending(&self) -> &CancellationToken {
        &self.ending
    }

    /// A page without records.
    pub(super) fn page(&self) -> Page {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        spare.pop().unwrap_or_else(|| {
            drop(spare);
            let mut page = Page::default();
            page.reserve();
            page
        })
    }

    /// Keeps the pages of records that are done with.
    pub(super) fn take_back(&self, records: Batch) {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MOST_SPARE.saturating_sub(spare.len());
        spare.extend(records.into_pages().take(room));
    }

    /// Counts records that nobody will get.
    pub(super) fn lose(&self, records: u64) {
        self.lost.fetch_add(records, Ordering::Relaxed);
    }

    /// Records since the start that nobody got.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Sends what waits, for so long at most.
    pub(crate) async fn finish(&self, limit: Duration) {
        self.ending.cancel();
        self.tasks.close();
        // What is not sent by then is lost, as it is when a machine fails.
        let _ = tokio::time::timeout(limit, self.tasks.wait()).await;
    }
}

/// The system gives no thread.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no thread to deliver records on; raise its limit of threads")]
pub(crate) struct NoThread;

fn start() -> Option<Handle> {
    let runtime = Builder::new_current_thread().enable_all().build().ok()?;
    let handle = runtime.handle().clone();
    let run = move || runtime.block_on(std::future::pending::<()>());
    let thread = std::thread::Builder::new().name("delivery".to_owned());
    thread.spawn(run).ok().map(|_| handle)
}
