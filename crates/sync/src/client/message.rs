//! What a control plane sends: compressed `reconfigure` messages.

use std::borrow::Cow;

use bytes::Bytes;
use keelgate_snapshot::gzip::{self, GzipError};
use serde::Deserialize;

/// How a document of this software begins: it need not be parsed to know its type.
const BEGINNING: &[u8] = br#"{"type":"reconfigure","#;

/// A compressed message above this size is decompressed on another thread, in bytes.
const SMALL: usize = 64 << 10;

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Option<Cow<'a, str>>,
}

/// A message that cannot be read: the control plane is not to be trusted with the next one either.
#[derive(Debug, thiserror::Error)]
pub(super) enum MessageError {
    #[error("a message of the control plane cannot be decompressed: {0}")]
    Gzip(#[from] GzipError),
    #[error("a message of the control plane is not JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("a message of the control plane could not be decoded")]
    Lost(#[from] tokio::task::JoinError),
}

/// The document in a message; none when it is a message of another kind.
pub(super) async fn open(message: Bytes, limit: usize) -> Result<Option<Bytes>, MessageError> {
    if message.len() <= SMALL {
        return decode(&message, limit);
    }
    tokio::task::spawn_blocking(move || decode(&message, limit)).await?
}

fn decode(message: &[u8], limit: usize) -> Result<Option<Bytes>, MessageError> {
    let document = gzip::decompress(message, limit)?;
    if document.starts_with(BEGINNING) {
        return Ok(Some(document));
    }
    let message: Message<'_> = serde_json::from_slice(&document)?;
    if message.kind.as_deref() == Some("reconfigure") {
        return Ok(Some(document));
    }
    tracing::debug!(kind = ?message.kind, "message of an unknown type ignored");
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(text: &str) -> Result<Option<Bytes>, MessageError> {
        decode(&gzip::compress(text.as_bytes()), 1000)
    }

    #[test]
    fn only_configurations_are_documents() {
        for text in [
            r#"{"type":"reconfigure","config_table":{}}"#,
            r#"{"config_table":{},"type":"reconfigure"}"#,
        ] {
            assert_eq!(decoded(text).unwrap().unwrap(), text);
        }
        assert_eq!(decoded(r#"{"type":"hello"}"#).unwrap(), None);
        assert_eq!(decoded("{}").unwrap(), None);
    }

    #[test]
    fn garbage_is_an_error() {
        assert!(matches!(decoded("hello"), Err(MessageError::Json(_))));
        let plain = br#"{"type":"reconfigure","config_table":{}}"#;
        assert!(matches!(decode(plain, 1000), Err(MessageError::Gzip(_))));
        let large = format!(r#"{{"type":"{}"}}"#, "x".repeat(2000));
        assert!(matches!(
            decoded(&large),
            Err(MessageError::Gzip(GzipError::TooLarge { limit: 1000 }))
        ));
    }
}
