//! Finished lines, written off the request path.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread;

use crate::destination::{Destination, OpenError};

/// Lines that may wait to be written before further ones are dropped.
const WAITING: usize = 16 * 1024;

enum Message {
    Line(Vec<u8>),
    Reopen,
    Flush(SyncSender<()>),
}

/// Takes lines without ever waiting for the disk. When lines come faster than
/// they can be written for long, they are dropped and counted: a full disk must
/// not stop the proxy.
#[derive(Debug, Clone)]
pub struct LineSink {
    queue: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

impl LineSink {
    /// Opens the destination and starts the thread that writes to it; the thread
    /// ends with the last clone of the sink.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(destination: Destination) -> Result<Self, OpenError> {
        let writer = destination.open()?;
        let (queue, messages) = sync_channel(WAITING);
        let dropped = Arc::new(AtomicU64::new(0));
        let lost = Arc::clone(&dropped);
        thread::Builder::new()
            .name("lines".to_owned())
            .spawn(move || write_lines(&messages, &destination, writer, &lost))
            .map_err(|source| OpenError {
                path: "(the thread that writes it)".into(),
                source,
            })?;
        Ok(Self { queue, dropped })
    }

    /// Takes one line; the line end is added.
    pub fn write(&self, line: Vec<u8>) {
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) =
            self.queue.try_send(Message::Line(line))
        {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Opens the file anew, after something has moved it away.
    pub fn reopen(&self) {
        // A writer that is gone has nothing to reopen.
        let _ = self.queue.send(Message::Reopen);
    }

    /// Waits until all lines taken so far are written.
    pub fn flush(&self) {
        let (done, wait) = sync_channel(1);
        if self.queue.send(Message::Flush(done)).is_ok() {
            let _ = wait.recv();
        }
    }

    /// Counts the lines that are dropped, also after the sink is gone.
    #[must_use]
    pub fn dropped_counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.dropped)
    }

    /// How many lines were dropped, because they came too fast or could not be
    /// written.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

fn write_lines(
    messages: &Receiver<Message>,
    destination: &Destination,
    writer: Box<dyn Write + Send>,
    lost: &AtomicU64,
) {
    let mut writer = BufWriter::with_capacity(64 * 1024, writer);
    let mut next = messages.recv().ok();
    while let Some(message) = next {
        let written: io::Result<()> = match message {
            Message::Line(line) => writer
                .write_all(&line)
                .and_then(|()| writer.write_all(b"\n")),
            Message::Reopen => {
                let flushed = writer.flush();
                // When it cannot be opened anew, the old file still takes lines.
                if let Ok(opened) = destination.open() {
                    writer = BufWriter::with_capacity(64 * 1024, opened);
                }
                flushed
            }
            Message::Flush(done) => {
                let flushed = writer.flush();
                let _ = done.send(());
                flushed
            }
        };
        if written.is_err() {
            lost.fetch_add(1, Ordering::Relaxed);
        }
        next = match messages.try_recv() {
            Ok(message) => Some(message),
            Err(TryRecvError::Empty) => {
                if writer.flush().is_err() {
                    lost.fetch_add(1, Ordering::Relaxed);
                }
                messages.recv().ok()
            }
            Err(TryRecvError::Disconnected) => None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_reach_the_file_and_a_moved_file_is_followed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("logs/access.log");
        let sink = LineSink::open(Destination::File(path.clone())).unwrap();
        sink.write(b"one".to_vec());
        sink.write(b"two".to_vec());
        sink.flush();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\n");

        let moved = directory.path().join("access.log.1");
        std::fs::rename(&path, &moved).unwrap();
        sink.reopen();
        sink.write(b"three".to_vec());
        sink.flush();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "three\n");
        assert_eq!(std::fs::read_to_string(&moved).unwrap(), "one\ntwo\n");
        assert_eq!(sink.dropped(), 0);
    }

    #[test]
    fn a_destination_that_cannot_be_opened_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let below = file.path().join("access.log");
        assert!(LineSink::open(Destination::File(below)).is_err());
    }
}
