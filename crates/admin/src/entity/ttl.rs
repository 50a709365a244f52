//! The time to live of entities that may expire.

use keelgate_entities::{Object, Schema};
use serde_json::Value;

use crate::failure::Failure;

/// Longest time to live, in seconds.
const MAX: u64 = 100_000_000;

/// Takes the time to live out of what a client sent; it is no field of the schema.
pub(super) fn take(schema: &Schema, input: &mut Object) -> Result<Option<Value>, Failure> {
    if !schema.ttl {
        return Ok(None);
    }
    match input.remove("ttl") {
        None => Ok(None),
        Some(Value::Null) => Ok(Some(Value::Null)),
        // Forms carry text.
        Some(Value::String(text)) => text.trim().parse().map_or_else(|_| refuse(), check),
        Some(Value::Number(number)) => number.as_u64().map_or_else(refuse, check),
        Some(_) => refuse(),
    }
}

fn check(seconds: u64) -> Result<Option<Value>, Failure> {
    match seconds {
        // No end rather than no life.
        0 => Ok(Some(Value::Null)),
        1..=MAX => Ok(Some(seconds.into())),
        _ => refuse(),
    }
}

fn refuse() -> Result<Option<Value>, Failure> {
    Err(Failure::Options {
        option: "ttl",
        message: format!("must be an integer between 0 and {MAX}"),
    })
}
