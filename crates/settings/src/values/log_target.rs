//! Where log lines go.

use std::path::PathBuf;

use super::{Context, Invalid, Kind, Setting};

/// Where a log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTarget {
    /// Nowhere.
    Off,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// This file, appended to.
    File(PathBuf),
}

impl Setting for LogTarget {
    const KIND: Kind = Kind::Special("a path or off");

    /// A word after the path, nginx's name of a format, is allowed and ignored.
    fn parse(text: &str, context: Context<'_>) -> Result<Self, Invalid> {
        let path = text.split_ascii_whitespace().next().unwrap_or(text);
        match path {
            "off" => Ok(Self::Off),
            "/dev/stdout" => Ok(Self::Stdout),
            "/dev/stderr" | "stderr" => Ok(Self::Stderr),
            _ if path.starts_with("syslog:") || path.starts_with("memory:") => Err(Invalid::new(
                "logs go to a file, /dev/stdout, /dev/stderr or off",
                "write /dev/stderr and let the service manager forward it",
            )),
            _ => Ok(Self::File(context.prefix.join(path))),
        }
    }
}
