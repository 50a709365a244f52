//! A level of the log that holds for some time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use keelgate_telemetry::Level;

/// Changes the level of the log, and takes the change back when its time is over.
#[derive(Clone)]
pub(crate) struct LastingLevel {
    level: Arc<dyn Fn() -> Level + Send + Sync>,
    set_level: Arc<dyn Fn(Level) + Send + Sync>,
    turn: Arc<Mutex<Turn>>,
}

#[derive(Default)]
struct Turn {
    /// Counts changes, so that the end of an earlier one does not take back a later one.
    number: u64,
    /// The level to return to.
    before: Option<Level>,
}

impl LastingLevel {
    /// Of a log whose level is read and set so.
    pub(crate) fn new(
        level: impl Fn() -> Level + Send + Sync + 'static,
        set_level: impl Fn(Level) + Send + Sync + 'static,
    ) -> Self {
        Self {
            level: Arc::new(level),
            set_level: Arc::new(set_level),
            turn: Arc::default(),
        }
    }

    /// Sets the level for a time, or until it is set again.
    pub(crate) fn set(&self, level: Level, time: Option<Duration>) {
        let number = {
            let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
            turn.number += 1;
            turn.before = time.map(|_| turn.before.unwrap_or_else(|| (self.level)()));
            (self.set_level)(level);
            turn.number
        };
        let Some(time) = time else {
            return;
        };
        let lasting = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            lasting.end(number);
        });
    }

    fn end(&self, number: u64) {
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if turn.number == number
            && let Some(before) = turn.before.take()
        {
            (self.set_level)(before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn log() -> (LastingLevel, impl Fn() -> Level) {
        let level = Arc::new(Mutex::new(Level::Notice));
        let (read, write, told) = (Arc::clone(&level), Arc::clone(&level), level);
        let lasting = LastingLevel::new(
            move || *read.lock().unwrap(),
            move |level| *write.lock().unwrap() = level,
        );
        (lasting, move || *told.lock().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn the_level_before_returns_when_the_time_is_over() {
        let (lasting, level) = log();
        lasting.set(Level::Debug, Some(MINUTE));
        // A second change has a time of its own, and the level before both returns.
        tokio::time::sleep(MINUTE / 2).await;
        lasting.set(Level::Error, Some(MINUTE));
        tokio::time::sleep(MINUTE * 3 / 4).await;
        assert_eq!(level(), Level::Error);
        tokio::time::sleep(MINUTE / 2).await;
        assert_eq!(level(), Level::Notice);
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_without_a_time_stays() {
        let (lasting, level) = log();
        lasting.set(Level::Debug, Some(MINUTE));
        lasting.set(Level::Warn, None);
        tokio::time::sleep(MINUTE * 2).await;
        assert_eq!(level(), Level::Warn);
    }
}
