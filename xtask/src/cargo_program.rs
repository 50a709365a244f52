//! Programs that tasks use and Cargo installs, in pinned versions, built without optimisation.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use crate::progress::{self, Background};
use crate::workspace;

/// A program of the crates' registry.
pub(crate) struct CargoProgram {
    /// The name of crate and program.
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    /// Further arguments of `cargo install`.
    pub(crate) arguments: &'static [&'static str],
    /// What is told while it is built.
    pub(crate) building: &'static str,
}

impl CargoProgram {
    /// Finds it among the tools, or builds it.
    pub(crate) fn get(&self) -> Result<PathBuf> {
        let tools = workspace::tools();
        let directory = tools.join(format!("{}-{}", self.name, self.version));
        let program = directory.join("bin").join(self.name);
        if program.exists() {
            return Ok(program);
        }
        std::fs::create_dir_all(&tools)
            .with_context(|| format!("cannot make {}", tools.display()))?;
        let mut command = workspace::cargo(&["install", self.name, "--locked", "--debug"]);
        let build = tools.join(format!("{}-build", self.name));
        command
            .args(["--version", self.version])
            .args(self.arguments)
            .arg("--root")
            .arg(&directory)
            .env("CARGO_TARGET_DIR", &build)
            // What a debugger would need is most of what is written.
            .env("CARGO_PROFILE_DEV_DEBUG", "0");
        let log = tools.join(format!("{}-build.log", self.name));
        let (status, log) = Background::start(self.building, &mut command, log)?.wait()?;
        ensure!(
            status.success(),
            "{} could not be installed:\n{}",
            self.name,
            progress::tail(&log, 20)
        );
        // Nothing is built from there again.
        let _ = std::fs::remove_dir_all(&build);
        Ok(program)
    }
}
