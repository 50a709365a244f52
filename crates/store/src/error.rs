//! What can go wrong with a store.

use std::path::PathBuf;

use keelgate_entities::ApiError;
use rusqlite::ErrorCode;

/// Why a store could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The request breaks a rule of the schemas (or asks for what is not there); nothing was
    /// written. Carries the body that the Admin API answers with.
    #[error("{}", .0.message)]
    Rejected(ApiError),
    /// The store takes no writes: its content comes from a declarative configuration.
    #[error("the configuration is declarative: change the file, or POST /config")]
    ReadOnly,
    /// The file is no database, or a damaged one.
    #[error(
        "{path} is damaged or is not a database ({reason}): restore it from a copy, or move it \
         away and import the last export with `keelgate config db_import`"
    )]
    Corrupt {
        /// The database file.
        path: PathBuf,
        /// What the check found.
        reason: String,
    },
    /// The file is a database of another program.
    #[error("{path} is a database of another program: choose another file")]
    Foreign {
        /// The database file.
        path: PathBuf,
    },
    /// A newer version wrote the file.
    #[error(
        "{path} has database schema {found}, and this version knows up to {supported}: start the \
         version that wrote it, or a newer one"
    )]
    NewerSchema {
        /// The database file.
        path: PathBuf,
        /// The schema version in the file.
        found: i64,
        /// The newest schema version that this build knows.
        supported: i64,
    },
    /// The file cannot be created or opened.
    #[error("cannot open the database {path}: {source}")]
    Open {
        /// The database file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The database refused a statement (disk full, locked by another process, I/O error).
    #[error("database error: {0}")]
    Database(#[from] rusqlite::Error),
    /// The database server is away, or does not let this node in. Nothing was written.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The connection broke while a change was being committed, and the server did not come back in
    /// time to tell whether it was.
    #[error(
        "the connection was lost in the middle of the commit, so it is not known whether the change was made: {0}"
    )]
    Unknown(String),
    /// The database server refused a statement.
    #[error("database error: {0}")]
    Postgres(String),
    /// The file is open elsewhere, and what was asked for needs it alone.
    #[error("{path} is in use: stop the node that has it open")]
    InUse {
        /// The database file.
        path: PathBuf,
    },
    /// The database has no tables of Keelgate.
    #[error("the database needs bootstrapping ({0}): run 'keelgate migrations bootstrap'")]
    NotBootstrapped(String),
    /// The database's tables are of an older version.
    #[error("new migrations are available ({0}): run 'keelgate migrations up' to proceed")]
    NeedsMigration(String),
    /// The database's tables are of a newer version.
    #[error("a newer version has migrated the database ({0}): start that version, or a newer one")]
    Migrated(String),
    /// A stored entity is not a JSON object.
    #[error("the stored entity {kind} {id} is not readable: {source}")]
    Unreadable {
        /// Its collection.
        kind: String,
        /// Its id.
        id: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The schemas do not know this kind of entity.
    #[error("no entity named '{0}'")]
    UnknownKind(String),
    /// An entity came without the `id` that the schemas give to each.
    #[error("an entity of '{0}' has no id")]
    MissingId(String),
    /// A piece of work panicked; it was rolled back.
    #[error("a write failed on an internal error and was rolled back")]
    Aborted,
    /// The store is shutting down.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// Whether the request is not to blame: the same may succeed once the database is in order, which
    /// the message says how to bring about.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Unavailable(_)
            | Self::Unknown(_)
            | Self::NotBootstrapped(_)
            | Self::NeedsMigration(_)
            | Self::Migrated(_)
            | Self::Closed => true,
            Self::Database(error) => error.sqlite_error_code().is_some_and(|code| {
                [
                    ErrorCode::CannotOpen,
                    ErrorCode::DatabaseBusy,
                    ErrorCode::DatabaseLocked,
                    ErrorCode::DiskFull,
                    ErrorCode::PermissionDenied,
                    ErrorCode::ReadOnly,
                    ErrorCode::SystemIoFailure,
                ]
                .contains(&code)
            }),
            _ => false,
        }
    }
}

impl From<ApiError> for StoreError {
    fn from(error: ApiError) -> Self {
        Self::Rejected(error)
    }
}
