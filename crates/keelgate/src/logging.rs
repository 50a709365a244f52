//! The log of a node, by its settings.

use anyhow::Result;
use keelgate_settings::{LogFormat, LogLevel, LogTarget, Origin, Settings};
use keelgate_telemetry::{Destination, Format, Level, LogHandle, LogOptions};

/// Sets up the log of this process. In the foreground it goes to standard error
/// unless the settings say where; in the background always where they say.
pub(crate) fn init(settings: &Settings, background: bool) -> Result<LogHandle> {
    let target = &settings.log.proxy_error_log;
    let is_chosen = *settings.origin("proxy_error_log") != Origin::Default;
    let destination = match target {
        LogTarget::File(path) if background || is_chosen => Destination::File(path.clone()),
        LogTarget::Stdout => Destination::Stdout,
        LogTarget::File(_) | LogTarget::Stderr | LogTarget::Off => Destination::Stderr,
    };
    let format = match settings.log.log_format {
        LogFormat::Text => Format::Text,
        LogFormat::Json => Format::Json,
    };
    let level = level(settings.log.log_level);
    Ok(keelgate_telemetry::logging::init(LogOptions {
        level,
        format,
        destination,
    })?)
}

/// The level of a setting.
pub(crate) fn level(level: LogLevel) -> Level {
    match level {
        LogLevel::Debug => Level::Debug,
        LogLevel::Info => Level::Info,
        LogLevel::Notice => Level::Notice,
        LogLevel::Warn => Level::Warn,
        LogLevel::Error => Level::Error,
        LogLevel::Crit => Level::Crit,
        LogLevel::Alert => Level::Alert,
        LogLevel::Emerg => Level::Emerg,
    }
}
