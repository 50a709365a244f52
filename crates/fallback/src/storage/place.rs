//! What every storage has: a location, a time-out, and words for its failures.

use std::fmt;
use std::time::Duration;

use super::{ErrorKind, Operation, StorageError};

/// Where a storage is and how its failures are told.
#[derive(Debug)]
pub(super) struct Place {
    /// The location, as it is shown.
    pub(super) location: String,
    /// How long one operation may take.
    pub(super) time_out: Duration,
    /// How to mend a failure, in the words of the vendor.
    pub(super) mend: fn(ErrorKind) -> Option<&'static str>,
}

/// A failure before the storage, operation and key are added to it.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) kind: ErrorKind,
    pub(super) detail: String,
    pub(super) retry_after: Option<Duration>,
}

impl Failure {
    /// What a server said must not begin a line of a log of its own.
    pub(super) fn new(kind: ErrorKind, detail: impl fmt::Display) -> Self {
        Self {
            kind,
            detail: detail.to_string().replace(char::is_control, " "),
            retry_after: None,
        }
    }

    pub(super) fn bare(kind: ErrorKind) -> Self {
        Self::new(kind, "")
    }

    pub(super) fn too_large(limit: u64) -> Self {
        Self::new(ErrorKind::TooLarge, format_args!("over {limit} bytes"))
    }
}

impl Place {
    /// Checks the key and bounds one operation in time.
    pub(super) async fn run<T>(
        &self,
        operation: Operation,
        key: &str,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, StorageError> {
        let root = operation == Operation::List && key.is_empty();
        if !root && !is_plain(key) {
            let failure = Failure::new(ErrorKind::Invalid, "the key is not plain");
            return Err(self.error(operation, key, failure));
        }
        let failure = match tokio::time::timeout(self.time_out, work).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(failure)) => failure,
            Err(_) => Failure::new(
                ErrorKind::TimedOut,
                format_args!("after {:?}", self.time_out),
            ),
        };
        Err(self.error(operation, key, failure))
    }

    /// The failure of an operation on this storage.
    pub(super) fn error(&self, operation: Operation, key: &str, failure: Failure) -> StorageError {
        StorageError {
            storage: self.location.clone(),
            operation,
            key: key.to_owned(),
            mend: (self.mend)(failure.kind),
            kind: failure.kind,
            detail: failure.detail,
            retry_after: failure.retry_after,
        }
    }

    /// Settings with which the storage cannot be opened.
    pub(super) fn invalid(&self, detail: impl fmt::Display) -> StorageError {
        self.error(
            Operation::Open,
            "",
            Failure::new(ErrorKind::Invalid, detail),
        )
    }
}

/// Whether a key stays below the location on every storage: segments of letters, digits, `.`, `_`,
/// `-` and `+` that begin with no dot.
fn is_plain(key: &str) -> bool {
    key.split('/').all(|segment| {
        !segment.is_empty()
            && !segment.starts_with('.')
            && segment
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_stays_in_one_line() {
        let said = "denied\r\nERROR forged\u{1b}[2J";
        let failure = Failure::new(ErrorKind::Denied, said);
        assert_eq!(failure.detail, "denied  ERROR forged [2J");
    }
}
