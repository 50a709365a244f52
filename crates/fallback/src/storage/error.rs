//! What can go wrong with a storage, by meaning.

use std::fmt;
use std::time::Duration;

/// What was asked of the storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Open the storage from its settings.
    Open,
    /// Read one object.
    Read,
    /// Create an object that must not exist.
    Create,
    /// Replace an object that must be unchanged.
    Replace,
    /// Write an object whatever is there.
    Write,
    /// List objects.
    List,
    /// Delete one object.
    Delete,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Read => "read",
            Self::Create => "create",
            Self::Replace => "replace",
            Self::Write => "write",
            Self::List => "list",
            Self::Delete => "delete",
        })
    }
}

/// The meaning of a storage's failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// There is no such object.
    NotFound,
    /// The bucket or the directory is missing.
    NoContainer,
    /// A create met an object.
    AlreadyExists,
    /// A replace met another version than the expected one, or none.
    Precondition,
    /// A conditional read: nothing has changed.
    NotModified,
    /// The credentials are missing, wrong, or not allowed to do this.
    Denied,
    /// No connection could be made (name, network, TLS).
    Unreachable,
    /// No answer in time.
    TimedOut,
    /// The storage asks for fewer requests.
    Throttled,
    /// The storage failed, or was busy with a concurrent request.
    Unavailable,
    /// The object is larger than the limit.
    TooLarge,
    /// The storage cannot do this at all.
    Unsupported,
    /// The settings or the key are wrong.
    Invalid,
}

impl ErrorKind {
    /// A short word for metrics and machine-readable status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::NoContainer => "no_container",
            Self::AlreadyExists => "already_exists",
            Self::Precondition => "precondition",
            Self::NotModified => "not_modified",
            Self::Denied => "denied",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed_out",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::TooLarge => "too_large",
            Self::Unsupported => "unsupported",
            Self::Invalid => "invalid",
        }
    }

    /// Whether the storage as a whole could not be reached; when it is back, it may be another.
    pub(crate) fn is_away(self) -> bool {
        matches!(self, Self::Unreachable | Self::TimedOut | Self::NoContainer)
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::NotFound => "there is no such object",
            Self::NoContainer => "the bucket or directory does not exist",
            Self::AlreadyExists => "it exists already",
            Self::Precondition => "it was changed by somebody else",
            Self::NotModified => "it has not changed",
            Self::Denied => "access was denied",
            Self::Unreachable => "the storage cannot be reached",
            Self::TimedOut => "the storage did not answer in time",
            Self::Throttled => "the storage asks for fewer requests",
            Self::Unavailable => "the storage failed",
            Self::TooLarge => "the object is too large",
            Self::Unsupported => "the storage cannot do this",
            Self::Invalid => "the settings are wrong",
        }
    }

    /// How to mend it, in words that fit every storage.
    pub(super) fn mend(self) -> Option<&'static str> {
        Some(match self {
            Self::NoContainer => "create it, or correct cluster_fallback_config_storage",
            Self::Denied => "check that this node may do this with this key",
            Self::Unreachable => "check the network and the name of the storage",
            Self::TimedOut => "check the network and the load of the storage",
            Self::Unsupported => "use a storage with conditional writes",
            _ => return None,
        })
    }
}

/// A failed operation: which storage, what was asked, what it means, and how to mend it.
///
/// The text never holds a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageError {
    /// The location of the storage.
    pub storage: String,
    /// What was asked.
    pub operation: Operation,
    /// The key below the location; empty when the storage as a whole is meant.
    pub key: String,
    /// What the failure means.
    pub kind: ErrorKind,
    /// What the storage said, shortened; may be empty.
    pub detail: String,
    /// How to mend it, in the words of the vendor.
    pub mend: Option<&'static str>,
    /// How long the storage asked to wait before the next request.
    pub retry_after: Option<Duration>,
}

impl StorageError {
    /// A failure with the mend that fits every storage.
    pub fn new(
        storage: impl Into<String>,
        operation: Operation,
        key: impl Into<String>,
        kind: ErrorKind,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            storage: storage.into(),
            operation,
            key: key.into(),
            kind,
            detail: detail.into(),
            mend: kind.mend(),
            retry_after: None,
        }
    }

    /// Whether nothing was done, and no other attempt goes better before somebody mends something.
    ///
    /// Not even a lost comparison is so: a retry inside the network may have answered for a write
    /// that had already won. Only refusals that come before any effect are definite.
    pub fn is_definite(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::Denied
                | ErrorKind::NoContainer
                | ErrorKind::Unsupported
                | ErrorKind::Invalid
                | ErrorKind::TooLarge
        )
    }
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: cannot {}", self.storage, self.operation)?;
        if !self.key.is_empty() {
            write!(f, " {}", self.key)?;
        }
        write!(f, ": {}", self.kind.meaning())?;
        if !self.detail.is_empty() {
            write!(f, " ({})", self.detail)?;
        }
        match self.mend {
            Some(mend) => write!(f, "; {mend}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for StorageError {}
