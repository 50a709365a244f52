//! Kong's names of log levels.

use std::fmt;
use std::str::FromStr;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

/// The least important kind of message that is logged.
///
/// `tracing` knows fewer levels. `notice` is told apart from `info` by where a
/// message comes from: from this gateway's code only, or from libraries too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Every step of this gateway.
    Debug,
    /// Normal events, those of libraries included.
    Info,
    /// Normal events of this gateway.
    Notice,
    /// What is not as it should be.
    Warn,
    /// What failed.
    Error,
    /// As `Error`.
    Crit,
    /// As `Error`.
    Alert,
    /// As `Error`.
    Emerg,
}

/// No level has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown log level: {0}")]
pub struct UnknownLevel(pub String);

impl Level {
    const ALL: [Self; 8] = [
        Self::Debug,
        Self::Info,
        Self::Notice,
        Self::Warn,
        Self::Error,
        Self::Crit,
        Self::Alert,
        Self::Emerg,
    ];

    /// Kong's name of the level.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Notice => "notice",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Crit => "crit",
            Self::Alert => "alert",
            Self::Emerg => "emerg",
        }
    }

    pub(crate) fn filter(self) -> Targets {
        let (own, libraries) = match self {
            Self::Debug => (LevelFilter::DEBUG, LevelFilter::INFO),
            Self::Info => (LevelFilter::INFO, LevelFilter::INFO),
            Self::Notice => (LevelFilter::INFO, LevelFilter::WARN),
            Self::Warn => (LevelFilter::WARN, LevelFilter::WARN),
            Self::Error | Self::Crit | Self::Alert | Self::Emerg => {
                (LevelFilter::ERROR, LevelFilter::ERROR)
            }
        };
        Targets::new()
            .with_default(libraries)
            .with_target("keelgate", own)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|level| level.as_str() == name)
            .ok_or_else(|| UnknownLevel(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kongs() {
        for level in Level::ALL {
            assert_eq!(level.as_str().parse(), Ok(level));
        }
        assert_eq!(
            "zzz".parse::<Level>().unwrap_err().to_string(),
            "unknown log level: zzz"
        );
    }

    #[test]
    fn notice_hears_this_gateway_and_info_libraries_too() {
        use tracing::Level as L;
        let hears = |level: Level, target, at: L| level.filter().would_enable(target, &at);
        assert!(hears(Level::Notice, "keelgate_sync::client", L::INFO));
        assert!(!hears(Level::Notice, "hyper", L::INFO));
        assert!(hears(Level::Info, "hyper", L::INFO));
        assert!(hears(Level::Debug, "keelgate_proxy", L::DEBUG));
        assert!(!hears(Level::Debug, "rustls", L::DEBUG));
        assert!(!hears(Level::Crit, "keelgate", L::WARN));
    }
}
