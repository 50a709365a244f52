//! The Admin API, used by programs that others have published for Kong's, and tried by one that makes
//! up requests.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use e2e::{Node, Role, variable};
use serde_json::json;

async fn run(mut command: Command) -> (bool, String) {
    let output = tokio::task::spawn_blocking(move || command.stdin(Stdio::null()).output());
    let Output {
        status,
        stdout,
        stderr,
    } = output
        .await
        .expect("the program is waited for")
        .expect("run the program");
    let said = [stdout, stderr].concat();
    (
        status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

async fn control_plane(settings: &[(&str, &str)]) -> Node {
    let node = Node::start(Role::Traditional, settings, &[]);
    node.up().await;
    node
}

#[tokio::test(flavor = "multi_thread")]
async fn an_independent_client_of_kong_works_unchanged() {
    let node = control_plane(&[]).await;
    let directory = tempfile::tempdir().expect("make a directory");
    let made =
        rcgen::generate_simple_self_signed(vec!["a.test".to_owned()]).expect("make a certificate");
    let (cert, key) = (
        directory.path().join("cert.pem"),
        directory.path().join("key.pem"),
    );
    std::fs::write(&cert, made.cert.pem()).expect("write the certificate");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("write the key");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/aio_kong.py");
    let mut command = Command::new(variable("KEELGATE_TEST_AIO_KONG"));
    command.arg(script).arg(node.admin("")).args([&cert, &key]);
    let (succeeded, said) = run(command).await;
    assert!(succeeded, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn made_up_requests_never_end_in_a_server_error() {
    let node = control_plane(&[]).await;
    // Something to find, change and refer to.
    for (path, body) in [
        ("/services", json!({"name": "s", "host": "h.test"})),
        ("/upstreams", json!({"name": "u"})),
        ("/consumers", json!({"username": "c"})),
    ] {
        node.change("POST", path, body).await;
    }
    let mut command = Command::new(variable("KEELGATE_TEST_SCHEMATHESIS"));
    command
        .arg("run")
        .arg(node.admin("/openapi.json"))
        .args(["--checks", "not_a_server_error"])
        .args(["--phases", "coverage"])
        .args(["--seed", "1", "--warnings", "off", "--no-color"])
        .args(["--suppress-health-check", "all"])
        // The level of the log is no business of this test, and Kong's answer to the other is 501.
        .args(["--exclude-path-regex", "^/debug/|^/status/dns$"])
        .current_dir(node.prefix());
    let (succeeded, said) = run(command).await;
    assert!(succeeded, "{said}");
    node.change("GET", "/services/s", serde_json::Value::Null)
        .await;
}
