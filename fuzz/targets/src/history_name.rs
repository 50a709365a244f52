//! The name of a history object leads back to that very object.

use keelgate_fallback::{HistoryName, Layout};

pub(crate) fn run(name: &str) {
    let Some(parsed) = HistoryName::parse(name) else {
        return;
    };
    assert_eq!(parsed.to_string(), name);
    let layout = Layout::new("0.1.0");
    assert_eq!(
        layout.history_named(&parsed),
        format!("0.1.0/history/{name}")
    );
}
