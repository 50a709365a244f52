//! Multipart bodies.

use bytes::Bytes;
use futures_util::stream;
use multer::Multipart;
use serde_json::Value;

/// Most parts; more are ignored.
const MAX_PARTS: usize = 1000;

/// The named parts. One of type JSON stands for its value, any other for its text. A body that
/// ends early counts as far as it goes.
pub(super) async fn pairs(content_type: &str, body: Bytes) -> Vec<(String, Value)> {
    let Ok(boundary) = multer::parse_boundary(content_type) else {
        return Vec::new();
    };
    let body = stream::iter([Ok::<_, std::convert::Infallible>(body)]);
    let mut parts = Multipart::new(body, boundary);
    let mut pairs = Vec::new();
    while let Ok(Some(part)) = parts.next_field().await {
        let Some(name) = part.name().map(str::to_owned) else {
            continue;
        };
        let is_json = part
            .content_type()
            .is_some_and(|kind| kind.essence_str() == "application/json");
        let Ok(content) = part.bytes().await else {
            break;
        };
        let text = || Value::String(String::from_utf8_lossy(&content).into_owned());
        let value = if is_json {
            serde_json::from_slice(&content).unwrap_or_else(|_| text())
        } else {
            text()
        };
        // Of parts with the same name the last one counts, also where the name is one of a list.
        match pairs.iter().position(|(known, _)| *known == name) {
            Some(at) => pairs[at].1 = value,
            None if pairs.len() == MAX_PARTS => break,
            None => pairs.push((name, value)),
        }
    }
    pairs
}
