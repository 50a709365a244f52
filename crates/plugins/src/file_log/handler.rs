//! How `file-log` writes.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use keelgate_entities::kinds;

use super::config::Config;
use crate::error::Reason;
use crate::logging::batch::Batch;
use crate::logging::logger;
use crate::logging::queue::{Settings, Sink};
use crate::registry::Node;
use crate::{Directory, Plugin, setting};

/// The file, which is written to by one thread at a time: that of the last batch.
struct Log {
    path: PathBuf,
    reopen: bool,
    file: Mutex<Option<File>>,
}

/// Compiles a configuration.
pub(crate) fn compile(
    node: &Node,
    plugin: &kinds::Plugin,
    _directory: &Arc<Directory>,
) -> Result<Arc<dyn Plugin>, Reason> {
    let config: Config = setting::decode(&plugin.config)?;
    let log = Log {
        path: config.path.into(),
        reopen: config.reopen,
        file: Mutex::new(None),
    };
    let settings = Settings {
        // A full disk does not become empty within a minute; what waits meanwhile is bounded.
        max_retry_time: 10.0,
        initial_retry_delay: 1.0,
        ..Settings::of_lines()
    };
    let log = Arc::new(log);
    logger::compile(node, plugin, settings, &config.custom_fields_by_lua, log)
}

impl Log {
    fn write(&self, lines: &Batch) -> io::Result<()> {
        let mut held = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let mut file = match held.take() {
            Some(file) if !self.reopen => file,
            _ => {
                let mut options = OpenOptions::new();
                options.append(true).create(true).open(&self.path)?
            }
        };
        // Whole lines each time: others may append to the file, too.
        for lines in lines.pieces() {
            file.write_all(lines)?;
        }
        *held = Some(file);
        Ok(())
    }
}

impl Sink for Arc<Log> {
    const BEHIND: Option<u8> = Some(b'\n');

    async fn send(&self, batch: &Batch) -> Result<(), String> {
        // A pipe that nobody reads blocks; other queues are not to wait for it.
        let (log, lines) = (Self::clone(self), batch.clone());
        let written = tokio::task::spawn_blocking(move || log.write(&lines)).await;
        written
            .unwrap_or_else(|problem| Err(io::Error::other(problem)))
            .map_err(|problem| format!("{}: {problem}", self.path.display()))
    }
}
