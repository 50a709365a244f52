//! Requests that are made up from the description of the API.

use std::path::Path;
use std::process::Command;

use e2e::variable;
use serde_json::{Value, json};

use crate::{node, run};

/// Lets Schemathesis have its way with an API of its own.
async fn try_out(phases: &str, more: &[&str]) {
    let node = node().await;
    // Something to find, change and refer to.
    for (path, body) in [
        ("/services", json!({"name": "s", "host": "h.test"})),
        ("/upstreams", json!({"name": "u"})),
        ("/consumers", json!({"username": "c"})),
    ] {
        node.change("POST", path, body).await;
    }
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/schemathesis.toml");
    let mut command = Command::new(variable("KEELGATE_TEST_SCHEMATHESIS"));
    command
        .arg("--config-file")
        .arg(config)
        .arg("run")
        .arg(node.admin("/openapi.json"))
        .args(["--phases", phases])
        .arg("--no-color")
        // The level of the log is no business of this test, and Kong's answer to the other is 501.
        .args(["--exclude-path-regex", "^/debug/|^/status/dns$"])
        .args(more)
        .current_dir(node.prefix());
    let (succeeded, said) = run(command).await;
    assert!(succeeded, "{said}");
    node.change("GET", "/services", Value::Null).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn made_up_requests_never_end_in_a_server_error() {
    try_out("examples,coverage,fuzzing", &[]).await;
}

// The links themselves are all followed in a test of the Admin API; here they are chained at random.
#[tokio::test(flavor = "multi_thread")]
async fn made_up_walks_never_end_in_a_server_error() {
    try_out("stateful", &["--max-time", "30"]).await;
}
