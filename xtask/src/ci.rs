//! Everything that must hold before a change lands.

use std::process::Command;
use std::time::Instant;

use anyhow::Result;

use crate::cargo_program::CargoProgram;
use crate::{clients, conformance, plugin_servers, progress, storage_server, test, workspace};

const DENY: CargoProgram = CargoProgram {
    name: "cargo-deny",
    version: "0.20.2",
    arguments: &[],
    building: "building cargo-deny",
};

/// The checks, the quickest to fail first.
pub(crate) fn run() -> Result<()> {
    let started = Instant::now();
    progress::step("format");
    workspace::run(&mut workspace::cargo(&["fmt", "--all", "--check"]))?;
    // Got beside the lints, which keep only some of the cores busy.
    let storage = storage_server::get()?;
    progress::step("lints");
    workspace::run(&mut workspace::cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ]))?;
    progress::step("documentation");
    workspace::run(
        workspace::cargo(&[
            "doc",
            "--workspace",
            "--no-deps",
            "--document-private-items",
            "--quiet",
        ])
        .env("RUSTDOCFLAGS", "-D warnings"),
    )?;
    progress::step("dependencies: bans, licences, sources");
    let deny = DENY.get()?;
    workspace::run(
        Command::new(deny)
            .args([
                "--workspace",
                "check",
                "--hide-inclusion-graph",
                "bans",
                "licenses",
                "sources",
            ])
            .current_dir(workspace::root()),
    )?;
    storage.install()?;
    test::run(&[])?;
    progress::done(&format!(
        "everything holds ({} s)",
        started.elapsed().as_secs()
    ));
    Ok(())
}

/// Gets what `run` needs.
pub(crate) fn tools() -> Result<()> {
    let storage = storage_server::get()?;
    let judges = conformance::get()?;
    let clients = clients::get()?;
    plugin_servers::get()?;
    DENY.get()?;
    judges.ready()?;
    clients.ready()?;
    storage.install()
}
