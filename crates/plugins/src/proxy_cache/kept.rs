//! What others than requests may do with the responses that a node keeps.

use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::handler::seconds;
use super::store::{Store, Stored};

/// The responses that all `proxy-cache` plugins of a node keep, by their keys (`X-Cache-Key`).
#[derive(Clone, Debug)]
pub struct KeptResponses(Arc<Store>);

impl KeptResponses {
    pub(crate) fn of(store: &Arc<Store>) -> Self {
        Self(Arc::clone(store))
    }

    /// The response under a key that is still kept at this time, in Kong's form: `status`,
    /// `headers`, `body` (what is no text in it is replaced), `body_len` in bytes, `timestamp` when
    /// it was kept, and `ttl`, both in seconds.
    pub fn find(&self, key: &str, now: SystemTime) -> Option<Value> {
        self.0.get(key, seconds(now)).map(|stored| stored.json())
    }

    /// Forgets the response under a key; whether there was one.
    pub fn remove(&self, key: &str, now: SystemTime) -> bool {
        self.0.remove(key, seconds(now))
    }

    /// Forgets all responses.
    pub fn clear(&self) {
        self.0.clear();
    }
}

impl Stored {
    fn json(&self) -> Value {
        let mut headers = Map::new();
        for name in self.headers.keys() {
            let values = self.headers.get_all(name).iter();
            let mut values: Vec<Value> = values
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into())
                .collect();
            let value = match values.len() {
                1 => values.remove(0),
                _ => values.into(),
            };
            headers.insert(name.as_str().to_owned(), value);
        }
        json!({
            "status": self.status.as_u16(),
            "headers": headers,
            "body": String::from_utf8_lossy(&self.body),
            "body_len": self.body.len(),
            "timestamp": self.at,
            "ttl": self.lifetime,
            "version": 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use bytes::Bytes;
    use http::{HeaderName, HeaderValue, StatusCode};

    use super::*;
    use crate::HeaderMap;

    #[test]
    fn a_kept_response_is_told_whole() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("x-a", "1"), ("x-b", "2"), ("x-b", "3")] {
            let name = HeaderName::from_static(name);
            headers.append(name, HeaderValue::from_static(value));
        }
        let store = Arc::new(Store::new());
        let stored = Stored {
            status: StatusCode::OK,
            headers,
            body: Bytes::from_static(b"h\xffi"),
            at: 100,
            lifetime: 5,
            kept_for: Some(10),
        };
        store.put("k".to_owned(), stored);
        let kept = KeptResponses::of(&store);
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(
            kept.find("k", at(101)),
            Some(json!({
                "status": 200, "headers": {"x-a": "1", "x-b": ["2", "3"]},
                "body": "h\u{fffd}i", "body_len": 3, "timestamp": 100, "ttl": 5, "version": 1,
            }))
        );
        assert_eq!(kept.find("k", at(110)), None);
        assert!(!kept.remove("k", at(110)));
    }
}
