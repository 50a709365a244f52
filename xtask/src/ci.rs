//! Everything that must hold before a change lands.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use crate::progress::{self, Background};
use crate::{storage_server, test, workspace};

const DENY_VERSION: &str = "0.20.2";

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
    let deny = deny()?;
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
    deny()?;
    storage.install()
}

/// cargo-deny in the pinned version. Built without optimisation: it is run once.
fn deny() -> Result<PathBuf> {
    let tools = workspace::tools();
    let directory = tools.join(format!("cargo-deny-{DENY_VERSION}"));
    let program = directory.join("bin/cargo-deny");
    if program.exists() {
        return Ok(program);
    }
    std::fs::create_dir_all(&tools).with_context(|| format!("cannot make {}", tools.display()))?;
    let mut command = workspace::cargo(&[
        "install",
        "cargo-deny",
        "--locked",
        "--debug",
        "--version",
        DENY_VERSION,
    ]);
    command
        .arg("--root")
        .arg(&directory)
        .env("CARGO_TARGET_DIR", tools.join("cargo-deny-build"));
    let log = tools.join("cargo-deny-build.log");
    let (status, log) = Background::start("building cargo-deny", &mut command, log)?.wait()?;
    ensure!(
        status.success(),
        "cargo-deny could not be installed:\n{}",
        progress::tail(&log, 20)
    );
    Ok(program)
}
