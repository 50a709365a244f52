//! Packages of Debian, where the tasks run as root on it.

use std::process::Command;

use anyhow::Result;

use crate::storage_server::answers;
use crate::{progress, workspace};

/// Whether packages can be installed.
pub(crate) fn is_here() -> bool {
    answers("apt-get", "--version") && rustix::process::geteuid().is_root()
}

/// Installs packages, without starting what they bring.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    progress::step(&format!("installing {}", packages.join(", ")));
    workspace::run(Command::new("apt-get").args(["update", "-qq"]))?;
    // Without a run level, packages do not start their services.
    workspace::run(
        Command::new("apt-get")
            .args(["install", "-y", "-qq", "--no-install-recommends"])
            .args(packages)
            .env("RUNLEVEL", "1")
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}
