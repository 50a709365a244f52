//! What the server's errors mean.

use std::error::Error as _;

use keelgate_entities::ApiError;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use crate::StoreError;

/// The store's word for an error of the client library. Neither holds a password.
pub(super) fn explain(error: &Error) -> StoreError {
    let reason = reason(error);
    let Some(state) = error.code() else {
        // Not the server's answer, so there is none: it is away, or the connection is.
        return StoreError::Unavailable(reason);
    };
    // Nothing of the tables there: not made yet, or removed.
    if [SqlState::UNDEFINED_TABLE, SqlState::INVALID_SCHEMA_NAME].contains(state) {
        return StoreError::NotBootstrapped(reason);
    }
    if *state == SqlState::PROGRAM_LIMIT_EXCEEDED {
        return ApiError::field_violation(
            "@entity",
            "a value is too long for the database's index",
        )
        .into();
    }
    if *state == SqlState::LOCK_NOT_AVAILABLE {
        return StoreError::Unavailable("other writers did not finish in time".to_owned());
    }
    // A replica ends what is in the way of changes with the second one.
    let conflicts = [
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::T_R_SERIALIZATION_FAILURE,
    ];
    if conflicts.contains(state) {
        return StoreError::Unavailable(format!("something else was in the way: {reason}"));
    }
    match is_away(state) {
        true => StoreError::Unavailable(reason),
        false => StoreError::Postgres(reason),
    }
}

/// Whether the same may succeed later, or on another connection: connections that break (08),
/// logins that fail (28), too few resources (53), servers that stop, start or wait to take over.
fn is_away(state: &SqlState) -> bool {
    let code = state.code();
    ["08", "28", "3D", "53", "57P", "58"]
        .iter()
        .any(|class| code.starts_with(class))
        || *state == SqlState::READ_ONLY_SQL_TRANSACTION
        || *state == SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT
}

fn reason(error: &Error) -> String {
    match (error.as_db_error(), error.source()) {
        (Some(database), _) => database.message().to_owned(),
        (None, Some(source)) => format!("{error}: {source}"),
        (None, None) => error.to_string(),
    }
}
