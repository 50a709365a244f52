//! Programs that are built with Go.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::server::answers;
use crate::progress::{self, Background};
use crate::workspace;

/// A pinned program.
pub(crate) struct GoProgram {
    /// For people.
    pub(crate) title: &'static str,
    /// The name of its binary.
    pub(crate) binary: &'static str,
    pub(crate) source: Source,
    pub(crate) version: &'static str,
    pub(crate) building: &'static str,
}

/// What a program is built from.
pub(crate) enum Source {
    /// A package of this name and the version of the program.
    Package(&'static str),
    /// A module in the directory of this name in `e2e/servers`, for programs that Go does not install by themselves.
    Module(&'static str),
}

/// A build that has been made, is going on, or cannot be.
pub(crate) enum Build {
    Done(PathBuf),
    Running(Background, &'static GoProgram),
    NoGo,
}

impl GoProgram {
    /// Finds the program or starts to build it.
    pub(crate) fn get(&'static self) -> Result<Build> {
        let place = self.place();
        if place.exists() {
            return Ok(Build::Done(place));
        }
        if !answers("go", "version") {
            return Ok(Build::NoGo);
        }
        progress::step(&format!(
            "building {} with Go (some minutes, once)",
            self.title
        ));
        // Go puts the program under its own name; the version goes into ours so that
        // another pinned version is built anew.
        let build = self.build_directory();
        std::fs::create_dir_all(&build)
            .with_context(|| format!("cannot make {}", build.display()))?;
        let mut command = Command::new("go");
        command.env("CGO_ENABLED", "0");
        match self.source {
            Source::Package(package) => command
                .arg("install")
                .arg(format!("{package}@{}", self.version))
                .env("GOBIN", &build)
                .current_dir(&build),
            Source::Module(module) => command
                .args(["build", "-ldflags=-s -w", "-o"])
                .arg(build.join(self.binary))
                .current_dir(workspace::root().join("e2e/servers").join(module)),
        };
        let log = build.with_extension("log");
        Ok(Build::Running(
            Background::start(self.building, &mut command, log)?,
            self,
        ))
    }

    fn place(&self) -> PathBuf {
        workspace::tools()
            .join("bin")
            .join(format!("{}-{}", self.binary, self.version))
    }

    fn build_directory(&self) -> PathBuf {
        workspace::tools().join(format!("{}-build", self.binary))
    }

    fn finish(&self, background: Background) -> Result<Result<PathBuf, String>> {
        let (status, log) = background.wait()?;
        if !status.success() {
            return Ok(Err(format!(
                "{} could not be built; Go said:\n{}",
                self.title,
                progress::tail(&log, 15)
            )));
        }
        let (built, place) = (self.build_directory().join(self.binary), self.place());
        if let Some(bin) = place.parent() {
            std::fs::create_dir_all(bin)?;
        }
        std::fs::rename(&built, &place)
            .with_context(|| format!("Go left no {}", built.display()))?;
        Ok(Ok(place))
    }
}

impl Build {
    /// Waits for the program; the inner failure says why there is none.
    pub(crate) fn ready(self) -> Result<Result<PathBuf, String>> {
        match self {
            Self::Done(place) => Ok(Ok(place)),
            Self::Running(background, program) => program.finish(background),
            Self::NoGo => Ok(Err("Go is not installed".to_owned())),
        }
    }
}
