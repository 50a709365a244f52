//! Limits on waiting.
//!
//! A connection waits many times per request, each time with a limit that is hardly ever reached.
//! One timer per connection is armed at the nearest limit seen so far and left alone when later
//! limits lie beyond it; it is looked at again when it fires. So most waits touch no timer at all.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::clock;

/// A limit was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("waited too long")]
pub(crate) struct Elapsed;

/// The timer of one task.
#[derive(Default)]
pub(crate) struct Timer {
    armed: RefCell<Option<Armed>>,
}

struct Armed {
    sleep: Pin<Box<Sleep>>,
    /// Who is woken.
    waker: Waker,
}

impl Timer {
    /// Waits for `future` for `limit`, and for a few [`clock::GRAIN`]s more at most. Several waits of
    /// the same task may share the timer.
    pub(crate) async fn limit<F: Future>(
        &self,
        limit: Duration,
        future: F,
    ) -> Result<F::Output, Elapsed> {
        let mut future = pin!(future);
        let mut deadline = None;
        poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            let deadline = *deadline.get_or_insert_with(|| clock::now() + limit + clock::GRAIN);
            self.poll(deadline, cx).map(Err)
        })
        .await
    }

    fn poll(&self, deadline: Instant, cx: &mut Context<'_>) -> Poll<Elapsed> {
        let mut slot = self.armed.borrow_mut();
        let armed = slot.get_or_insert_with(|| Armed {
            sleep: Box::pin(tokio::time::sleep_until(deadline)),
            waker: Waker::noop().clone(),
        });
        if armed.sleep.deadline() > deadline {
            armed.sleep.as_mut().reset(deadline);
        } else if armed.waker.will_wake(cx.waker()) && !armed.sleep.is_elapsed() {
            return Poll::Pending;
        }
        armed.waker.clone_from(cx.waker());
        while armed.sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(Elapsed);
            }
            armed.sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_limit_ends_the_wait_and_the_timer_serves_again() {
        let timer = Timer::default();
        let start = Instant::now();
        let second = Duration::from_secs(1);
        assert_eq!(timer.limit(5 * second, ready(1)).await, Ok(1));
        assert_eq!(timer.limit(9 * second, pending::<()>()).await, Err(Elapsed));
        assert_eq!(start.elapsed().as_secs(), 9);
        assert_eq!(timer.limit(second, pending::<()>()).await, Err(Elapsed));
        assert_eq!(start.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_shorter_limit_after_a_longer_one_is_kept() {
        let timer = Timer::default();
        let second = Duration::from_secs(1);
        let start = Instant::now();
        let short = timer.limit(second, pending::<()>());
        let both = timer.limit(60 * second, short).await;
        assert_eq!(both, Ok(Err(Elapsed)));
        assert_eq!(start.elapsed().as_secs(), 1);
    }
}
