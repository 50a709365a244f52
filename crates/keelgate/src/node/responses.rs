//! The responses that `proxy-cache` keeps, as the Admin API tells them.

use std::time::SystemTime;

use keelgate_admin::Responses;
use keelgate_plugins::KeptResponses;
use serde_json::Value;

/// The responses that this node keeps.
pub(crate) struct Kept(pub(crate) KeptResponses);

impl Responses for Kept {
    fn find(&self, key: &str) -> Option<Value> {
        self.0.find(key, SystemTime::now())
    }

    fn remove(&self, key: &str) -> bool {
        self.0.remove(key, SystemTime::now())
    }

    fn clear(&self) {
        self.0.clear();
    }
}
