//! The Admin API, used by programs that others have published for Kong's, and tried by one that makes
//! up requests.

mod aio_kong;
mod deck;
mod schemathesis;

use std::process::{Command, Output, Stdio};

use e2e::{Node, Role};

/// Runs a program to its end; whether it succeeded, and what it said.
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

/// A node whose Admin API takes changes.
async fn node() -> Node {
    let node = Node::start(Role::Traditional, &[], &[]);
    node.up().await;
    node
}
