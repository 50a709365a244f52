//! How grave a request is, as syslog has it.

use keelgate_entities::schema::Field;
use serde::Deserialize;

/// How grave a message is, the gravest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    Emerg,
    Alert,
    Crit,
    Err,
    Warning,
    Notice,
    #[default]
    Info,
    Debug,
}

const NAMES: [&str; 8] = [
    "debug", "info", "notice", "warning", "err", "crit", "alert", "emerg",
];

/// A setting that is a severity.
pub(crate) fn setting(name: &'static str, description: &'static str) -> Field {
    Field::string(name)
        .default("info")
        .one_of(NAMES)
        .description(description)
}

/// The settings that `syslog` and `loggly` have about severities, before `change`.
pub(crate) fn settings(change: fn(Field) -> Field) -> [Field; 4] {
    [
        (
            "log_level",
            "The least grave severity that records are sent with.",
        ),
        (
            "successful_severity",
            "Severity of requests that are answered with a status below 400.",
        ),
        (
            "client_errors_severity",
            "Severity of requests that are answered with a status from 400 to 499.",
        ),
        (
            "server_errors_severity",
            "Severity of requests that are answered with a status of 500 and more.",
        ),
    ]
    .map(|(name, description)| change(setting(name, description)))
}

/// What a configuration says about severities.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Severities {
    log_level: Option<Severity>,
    successful_severity: Option<Severity>,
    client_errors_severity: Option<Severity>,
    server_errors_severity: Option<Severity>,
}

impl Severities {
    /// The number of the severity of a request that was answered with this status; none for one
    /// that is not grave enough to be told.
    pub(crate) fn of(&self, status: u16) -> Option<u8> {
        self.enough(match status {
            500.. => self.server_errors_severity,
            400.. => self.client_errors_severity,
            _ => self.successful_severity,
        })
    }

    /// The same of a session, which is told as a success whatever became of it.
    pub(crate) fn of_session(&self) -> Option<u8> {
        self.enough(self.successful_severity)
    }

    fn enough(&self, severity: Option<Severity>) -> Option<u8> {
        let severity = severity.unwrap_or_default();
        (severity <= self.log_level.unwrap_or_default()).then_some(severity as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_less_grave_than_the_level_is_not_told() {
        let severities = Severities {
            log_level: Some(Severity::Warning),
            client_errors_severity: Some(Severity::Warning),
            server_errors_severity: Some(Severity::Crit),
            ..Severities::default()
        };
        assert_eq!(severities.of(200), None);
        assert_eq!(severities.of(404), Some(4));
        assert_eq!(severities.of(503), Some(2));
        assert_eq!(Severities::default().of(200), Some(6));
    }
}
