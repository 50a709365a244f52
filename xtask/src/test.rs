//! All tests, with what they need.

use anyhow::Result;

use crate::{progress, storage_server, workspace};

/// Builds once, starts the S3 server, runs the tests against both.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    // The server is built beside the workspace: neither needs the other.
    let program = storage_server::get()?;
    progress::step("building the workspace and its tests");
    workspace::run(&mut workspace::cargo(&[
        "build",
        "--workspace",
        "--all-targets",
        "--quiet",
    ]))?;
    let server = program.start()?;
    progress::step("running the tests");
    let mut command = workspace::cargo(&["test", "--quiet"]);
    if !arguments
        .iter()
        .any(|argument| argument == "-p" || argument == "--package")
    {
        command.arg("--workspace");
    }
    command
        .args(arguments)
        .envs(server.variables())
        .env("KEELGATE_BIN", workspace::target().join("debug/keelgate"));
    workspace::run(&mut command)?;
    progress::done(&format!("all tests passed; S3 server: {}", server.name()));
    Ok(())
}
