//! Where lines go.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// This file, appended to; made with its directory when it is not there.
    File(PathBuf),
}

/// A log file cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("the log file {} cannot be opened: {source}; make its directory writable, or log to /dev/stderr", path.display())]
pub struct OpenError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

impl Destination {
    pub(crate) fn open(&self) -> Result<Box<dyn Write + Send>, OpenError> {
        Ok(match self {
            Self::Stdout => Box::new(io::stdout()),
            Self::Stderr => Box::new(io::stderr()),
            Self::File(path) => Box::new(open_file(path).map_err(|source| OpenError {
                path: path.clone(),
                source,
            })?),
        })
    }
}

fn open_file(path: &std::path::Path) -> io::Result<File> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    OpenOptions::new().create(true).append(true).open(path)
}
