//! Programs from Python's package index.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use super::server::answers;
use crate::{progress, workspace};

/// Makes a virtual environment with one pinned package, once; returns its directory.
pub(crate) fn install(package: &str, version: &str, extras: &str) -> Result<PathBuf> {
    let directory = workspace::tools().join(format!("{package}-{version}"));
    let mark = directory.join("installed");
    if mark.exists() {
        return Ok(directory);
    }
    ensure!(
        answers("python3", "--version"),
        "the tests need Python 3, which is not installed"
    );
    progress::step(&format!("installing {package} with pip"));
    workspace::run(Command::new("python3").args(["-m", "venv"]).arg(&directory))?;
    workspace::run(
        Command::new(directory.join("bin/pip"))
            .args(["install", "--quiet"])
            .arg(format!("{package}{extras}=={version}")),
    )?;
    std::fs::write(mark, version)?;
    Ok(directory)
}

/// A file that a package brought along.
pub(super) fn file_of(directory: &Path, module: &str, path: &str) -> Result<PathBuf> {
    let code = format!("import {module}, pathlib; print(pathlib.Path({module}.__file__).parent)");
    let found = Command::new(directory.join("bin/python"))
        .args(["-c", &code])
        .output()?;
    let file = Path::new(String::from_utf8_lossy(&found.stdout).trim()).join(path);
    ensure!(
        file.is_file(),
        "{module} brought along no {}",
        file.display()
    );
    Ok(file)
}
