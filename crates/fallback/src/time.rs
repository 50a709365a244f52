//! Times as status documents show them.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serializer;

/// Writes a time as seconds since 1970, precise to the millisecond; for `serialize_with`.
///
/// # Errors
///
/// Those of the serializer.
pub fn unix_seconds<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let elapsed = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    serializer.serialize_f64(elapsed.as_millis() as f64 / 1000.0)
}
