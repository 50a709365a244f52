//! One thread's connection to a server.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use redis::Pipeline;
use redis::aio::MultiplexedConnection;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};

use super::connect::{Connected, Target};

/// The pauses between two attempts to reach a server that is away.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How often it is looked for whether a connection is still used. One that was not, from one look to
/// the next, is closed.
const IDLE: Duration = Duration::from_secs(60);

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    /// There is no connection; another is sought.
    #[error("Redis cannot be reached: {0}")]
    Away(Arc<str>),
    /// The server takes too long.
    #[error("Redis did not answer within {0:?}")]
    Late(Duration),
    /// The server answers that it cannot.
    #[error("Redis refused: {0}")]
    Refused(String),
}

/// One thread's connection.
pub(super) struct Link {
    state: Mutex<State>,
    /// Told when an attempt to connect has ended.
    changed: Notify,
    used: AtomicBool,
    attempts: AtomicU64,
}

enum State {
    /// Nobody asked yet, or not for long, or the connection has ended.
    Unconnected,
    /// An attempt is made; who asks waits for it.
    Connecting,
    Up(Up),
    /// The last attempt failed; who asks is told so at once.
    Away {
        problem: Arc<str>,
        /// When to try again.
        until: Instant,
        pause: Duration,
        trying: bool,
    },
}

struct Up {
    connection: MultiplexedConnection,
    /// Which attempt has made it.
    attempt: u64,
    driver: AbortHandle,
}

impl Drop for Up {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Link {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new(State::Unconnected),
            changed: Notify::new(),
            used: AtomicBool::new(false),
            attempts: AtomicU64::new(0),
        }
    }

    /// Nothing is left half done under the lock, so that a panic elsewhere does not matter.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks; once more if the connection turns out to have ended meanwhile.
    pub(super) async fn ask<T: redis::FromRedisValue>(
        self: &Arc<Self>,
        target: &Arc<Target>,
        patience: Duration,
        asked: &Pipeline,
    ) -> Result<T, Unanswered> {
        let mut again = true;
        loop {
            let (mut connection, attempt) = self.connection(target, patience).await?;
            self.used.store(true, Ordering::Relaxed);
            match timeout(patience, asked.query_async(&mut connection)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Err(_) => {
                    let late = Unanswered::Late(patience);
                    self.give_up(attempt, target, &late);
                    return Err(late);
                }
                Ok(Err(error)) if error.is_connection_dropped() || error.is_io_error() => {
                    self.ended(attempt);
                    if !std::mem::take(&mut again) {
                        return Err(Unanswered::Away(error.to_string().into()));
                    }
                }
                Ok(Err(error)) => return Err(Unanswered::Refused(error.to_string())),
            }
        }
    }

    async fn connection(
        self: &Arc<Self>,
        target: &Arc<Target>,
        patience: Duration,
    ) -> Result<(MultiplexedConnection, u64), Unanswered> {
        loop {
            let changed = self.changed.notified();
            let mut changed = std::pin::pin!(changed);
            // From here on nothing is missed.
            changed.as_mut().enable();
            {
                let mut state = self.state();
                match &mut *state {
                    State::Up(up) => return Ok((up.connection.clone(), up.attempt)),
                    State::Connecting => {}
                    State::Unconnected => {
                        *state = State::Connecting;
                        self.try_to_connect(target, patience);
                    }
                    State::Away {
                        problem,
                        until,
                        trying,
                        ..
                    } => {
                        let problem = Unanswered::Away(Arc::clone(problem));
                        if !*trying && Instant::now() >= *until {
                            *trying = true;
                            self.try_to_connect(target, patience);
                        }
                        return Err(problem);
                    }
                }
            }
            changed.await;
        }
    }

    /// Connects beside the request that asked, which may go away meanwhile.
    fn try_to_connect(self: &Arc<Self>, target: &Arc<Target>, patience: Duration) {
        let (link, target) = (Arc::clone(self), Arc::clone(target));
        let attempt = self.attempts.fetch_add(1, Ordering::Relaxed) + 1;
        tokio::spawn(async move {
            match timeout(patience, target.connect()).await {
                Ok(Ok(connected)) => link.up(attempt, &target, connected),
                Ok(Err(error)) => link.away(&target, error.to_string().into()),
                Err(_) => link.away(&target, format!("no answer within {patience:?}").into()),
            }
            link.changed.notify_waiters();
        });
    }

    fn up(self: &Arc<Self>, attempt: u64, target: &Target, (connection, driver): Connected) {
        let link = Arc::downgrade(self);
        let driven = tokio::spawn(async move {
            tokio::select! {
                () = driver => (),
                () = unused(&link) => (),
            }
            if let Some(link) = link.upgrade() {
                link.ended(attempt);
            }
        });
        let up = Up {
            connection,
            attempt,
            driver: driven.abort_handle(),
        };
        let before = std::mem::replace(&mut *self.state(), State::Up(up));
        if matches!(before, State::Away { .. }) {
            tracing::info!(server = target.name(), "Redis answers again");
        }
    }

    /// The connection has ended; the next one who asks makes another.
    fn ended(&self, attempt: u64) {
        let mut state = self.state();
        if matches!(&*state, State::Up(up) if up.attempt == attempt) {
            *state = State::Unconnected;
        }
    }

    /// The connection gives no answers.
    fn give_up(&self, attempt: u64, target: &Target, why: &Unanswered) {
        let current = matches!(&*self.state(), State::Up(up) if up.attempt == attempt);
        if current {
            self.away(target, why.to_string().into());
        }
    }

    fn away(&self, target: &Target, problem: Arc<str>) {
        let mut state = self.state();
        let pause = match &*state {
            State::Away { pause, .. } => (*pause * 2).min(LONGEST_PAUSE),
            _ => {
                let problem = &*problem;
                tracing::error!(server = target.name(), problem, "Redis cannot be used");
                FIRST_PAUSE
            }
        };
        // Nodes and threads that have lost the same server shall not all come back at once.
        let jitter = pause.mul_f64(0.5 + fastrand::f64() / 2.0);
        *state = State::Away {
            problem,
            until: Instant::now() + jitter,
            pause,
            trying: false,
        };
    }
}

/// Returns when a connection is no longer used.
async fn unused(link: &Weak<Link>) {
    loop {
        sleep(IDLE).await;
        match link.upgrade() {
            Some(link) if link.used.swap(false, Ordering::Relaxed) => (),
            _ => return,
        }
    }
}
