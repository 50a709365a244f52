//! The node's own log.

use std::io::{self, IsTerminal as _, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{Layer, Registry, filter::Targets, reload};

use crate::destination::{Destination, OpenError};
use crate::level::Level;

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people; coloured on a terminal.
    Text,
    /// One JSON object a line.
    Json,
}

/// How the node logs.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// The least important kind of message that is logged.
    pub level: Level,
    /// The form of lines.
    pub format: Format,
    /// Where they go.
    pub destination: Destination,
}

/// The log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// Its file cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The process logs already.
    #[error("this process has its log set up already: {0}")]
    Twice(#[from] TryInitError),
}

/// Changes a log that is being written.
#[derive(Clone)]
pub struct LogHandle {
    filter: reload::Handle<Targets, Registry>,
    level: Arc<Mutex<Level>>,
    output: Output,
}

impl std::fmt::Debug for LogHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogHandle")
            .field("level", &self.level())
            .finish_non_exhaustive()
    }
}

impl LogHandle {
    /// The level in force.
    #[must_use]
    pub fn level(&self) -> Level {
        *lock(&self.level)
    }

    /// Changes the level from now on.
    pub fn set_level(&self, level: Level) {
        // The subscriber lives as long as the process once it is installed.
        if self.filter.reload(level.filter()).is_ok() {
            *lock(&self.level) = level;
        }
    }

    /// Opens the file anew, after something has moved it away.
    ///
    /// # Errors
    /// When it cannot be opened; the old file is written to further.
    pub fn reopen(&self) -> Result<(), OpenError> {
        let opened = self.output.destination.open()?;
        *lock(&self.output.writer) = opened;
        Ok(())
    }
}

/// Sets up the log of this process.
///
/// # Errors
/// When the file cannot be opened, or the process has a log already.
pub fn init(options: LogOptions) -> Result<LogHandle, LoggingError> {
    let (subscriber, handle) = build(options)?;
    subscriber.try_init()?;
    Ok(handle)
}

fn build(
    options: LogOptions,
) -> Result<(impl tracing::Subscriber + Send + Sync, LogHandle), OpenError> {
    let colour = match options.destination {
        Destination::Stderr => io::stderr().is_terminal(),
        Destination::Stdout => io::stdout().is_terminal(),
        Destination::File(_) => false,
    };
    let output = Output {
        writer: Arc::new(Mutex::new(options.destination.open()?)),
        destination: options.destination,
    };
    let (filter, reload) = reload::Layer::new(options.level.filter());
    let lines = lines(options.format, colour, output.clone());
    let handle = LogHandle {
        filter: reload,
        level: Arc::new(Mutex::new(options.level)),
        output,
    };
    Ok((
        tracing_subscriber::registry().with(filter).with(lines),
        handle,
    ))
}

fn lines<S>(format: Format, colour: bool, output: Output) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
{
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(output)
        .with_ansi(colour);
    match format {
        Format::Text => Box::new(lines),
        Format::Json => Box::new(lines.json().flatten_event(true)),
    }
}

/// One destination, shared by all threads; lines are never torn.
#[derive(Clone)]
struct Output {
    writer: Arc<Mutex<Box<dyn Write + Send>>>,
    destination: Destination,
}

struct Line<'a>(MutexGuard<'a, Box<dyn Write + Send>>);

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<'a> MakeWriter<'a> for Output {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        Line(lock(&self.writer))
    }
}

/// A thread that panicked while it logged has left nothing half-done that matters.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn level_form_and_file_can_be_chosen_and_changed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("error.log");
        let (subscriber, handle) = build(LogOptions {
            level: Level::Warn,
            format: Format::Json,
            destination: Destination::File(path.clone()),
        })
        .unwrap();
        let read = || std::fs::read_to_string(&path).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(target: "keelgate_test", "too quiet");
            tracing::warn!(target: "keelgate_test", revision = 7, "heard");
            let line: serde_json::Value = serde_json::from_str(read().trim()).unwrap();
            assert_eq!(line["message"], "heard");
            assert_eq!(line["revision"], 7);

            handle.set_level(Level::Notice);
            assert_eq!(handle.level(), Level::Notice);
            tracing::info!(target: "keelgate_test", "now heard");
            assert!(read().contains("now heard"));

            std::fs::remove_file(&path).unwrap();
            handle.reopen().unwrap();
            tracing::error!(target: "keelgate_test", "in the new file");
            assert_eq!(read().lines().count(), 1);
        });
    }
}
