//! Programs that others have published for Kong's Admin API, and one that tries an API by its
//! description, for the end-to-end tests.
//!
//! | program | is |
//! |---|---|
//! | aio-kong | a client library, as Python programs use it |
//! | schemathesis | makes up requests from an OpenAPI description |
//! | the reconciler | a small program around the Go libraries that decK consists of |
//!
//! They are pinned. The first two come from Python's package index and are kept in the directory of
//! tools; the last one is built with Go beside what Cargo builds.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::progress::{self, Background};
use crate::storage_server::{answers, python};
use crate::workspace;

/// The programs, being got or there.
pub(crate) struct Clients {
    variables: Vec<(&'static str, String)>,
    building: Background,
    reconciler: PathBuf,
}

/// Gets the programs from Python's index, and starts to build the other one.
pub(crate) fn get() -> Result<Clients> {
    let aio_kong = python::install("aio-kong", "3.7.2", "")?.join("bin/python");
    let schemathesis = python::install("schemathesis", "4.32.5", "")?.join("bin/schemathesis");
    let reconciler = workspace::target().join("reconciler");
    Ok(Clients {
        variables: vec![
            ("KEELGATE_TEST_AIO_KONG", aio_kong.display().to_string()),
            (
                "KEELGATE_TEST_SCHEMATHESIS",
                schemathesis.display().to_string(),
            ),
        ],
        building: build(&reconciler)?,
        reconciler,
    })
}

/// Builds the reconciler; Go knows what has changed since.
fn build(place: &PathBuf) -> Result<Background> {
    ensure!(
        answers("go", "version"),
        "the tests of the Admin API need Go, which is not installed"
    );
    let target = workspace::target();
    std::fs::create_dir_all(&target)
        .with_context(|| format!("cannot make {}", target.display()))?;
    let mut command = Command::new("go");
    command
        .args(["build", "-mod=readonly", "-o"])
        .arg(place)
        .arg(".")
        .env("CGO_ENABLED", "0")
        .current_dir(workspace::root().join("e2e/clients/reconciler"));
    Background::start(
        "building the reconciler",
        &mut command,
        place.with_extension("log"),
    )
}

impl Clients {
    /// Waits until all are there; the variables by which tests find them.
    pub(crate) fn ready(self) -> Result<Vec<(&'static str, String)>> {
        let (status, log) = self.building.wait()?;
        ensure!(
            status.success(),
            "the reconciler could not be built; Go said:\n{}",
            progress::tail(&log, 15)
        );
        let mut variables = self.variables;
        variables.push((
            "KEELGATE_TEST_RECONCILER",
            self.reconciler.display().to_string(),
        ));
        Ok(variables)
    }
}
