//! All tests, with what they need.

use anyhow::Result;

use crate::database_server::Durability;
use crate::{
    clients, conformance, database_server, plugin_servers, progress, storage_server, workspace,
};

/// Builds once, starts the servers of storages and of the database, runs the tests against all.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    // The servers are built beside the workspace: neither needs the other.
    database_server::programs()?;
    let programs = storage_server::get()?;
    let judges = conformance::get()?;
    let clients = clients::get()?;
    let asked = plugin_servers::get()?;
    let is_whole = !arguments
        .iter()
        .any(|argument| argument.starts_with("-p") || argument.starts_with("--package"));
    // All targets, so that what is built here is what the tests use: features of
    // dependencies are chosen for all that is built together.
    let build: &[&str] = if is_whole {
        progress::step("building the workspace and its tests");
        &["build", "--workspace", "--all-targets", "--quiet"]
    } else {
        progress::step("building the gateway");
        &["build", "--package", "keelgate", "--quiet"]
    };
    workspace::run(&mut workspace::cargo(build))?;
    let judges = judges.ready()?;
    let clients = clients.ready()?;
    let servers = programs.start()?;
    let database = database_server::start(Durability::None)?;
    progress::step("running the tests");
    let mut command = workspace::cargo(&["test", "--quiet"]);
    if is_whole {
        command.arg("--workspace");
    }
    command
        .args(arguments)
        .envs(servers.variables())
        .envs(database.variables())
        .envs(judges)
        .envs(clients)
        .envs(asked)
        .env("KEELGATE_BIN", workspace::target().join("debug/keelgate"));
    workspace::run(&mut command)?;
    progress::done(&format!(
        "all tests passed; servers: {}, {}",
        servers.names(),
        database.name()
    ));
    Ok(())
}
