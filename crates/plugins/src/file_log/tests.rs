use std::path::PathBuf;

use serde_json::{Value, json};

use crate::testing::*;

/// A path that no other test uses.
fn path(name: &str) -> PathBuf {
    let name = format!("keelgate-file-log-{}-{name}", std::process::id());
    std::env::temp_dir().join(name)
}

/// The records in a file once there are so many.
async fn records(path: &PathBuf, count: usize) -> Vec<Value> {
    loop {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let complete = text.matches('\n').count();
        if complete >= count {
            let records = text.lines().map(|line| serde_json::from_str(line).unwrap());
            return records.collect();
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn every_request_is_one_line() {
    for reopen in [false, true] {
        let path = path(&format!("lines-{reopen}"));
        let _ = std::fs::remove_file(&path);
        let plugin = compiled("file-log", json!({"path": path, "reopen": reopen}));
        for target in ["/a", "/b"] {
            let mut exchange = exchange("GET", target);
            exchange.outcome.target = target.to_owned();
            plugin.log(&mut exchange);
        }
        let records = records(&path, 2).await;
        assert_eq!(records[0]["request"]["uri"], "/a");
        assert_eq!(records[1]["request"]["uri"], "/b");
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn settings_are_completed_and_checked() {
    let config = validated("file-log", json!({"path": "/dev/null"})).unwrap();
    let expected = json!({"path": "/dev/null", "reopen": false, "custom_fields_by_lua": null});
    assert_eq!(config, expected);
    compiled("file-log", config);
    let error = validated("file-log", json!({"path": "/a*b"})).unwrap_err();
    assert_eq!(error["fields"]["config"]["path"], "not a valid filename");
    let code = json!({"path": "/dev/null", "custom_fields_by_lua": {"a": "return os.time()"}});
    validated("file-log", code.clone()).unwrap_err();
    assert!(refused("file-log", code).contains("runs no Lua"));
}
