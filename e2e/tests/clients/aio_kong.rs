//! A client library for Python.

use std::path::Path;
use std::process::Command;

use e2e::variable;

use crate::{node, run};

#[tokio::test(flavor = "multi_thread")]
async fn an_independent_client_of_kong_works_unchanged() {
    let node = node().await;
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
