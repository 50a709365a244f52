//! moto, a play of S3 in Python: for machines without Go.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use super::minio::BUCKET;
use super::python;
use super::server::{Ready, Server, free_address, http, tied};

const VERSION: &str = "5.2.1";

pub(super) fn get() -> Result<PathBuf> {
    Ok(python::install("moto", VERSION, "[server]")?.join("bin/moto_server"))
}

pub(super) fn start(program: &Path) -> Result<Server> {
    let address = free_address()?;
    let mut command = tied(program);
    command.args([
        "-H",
        &address.ip().to_string(),
        "-p",
        &address.port().to_string(),
    ]);
    let server = Server::launch(
        format!("moto {VERSION}"),
        command,
        address,
        tempfile::tempdir()?,
        &Ready::get("/moto-api/"),
    )?;
    let status = http(address, "PUT", &format!("/{BUCKET}"), "")?;
    ensure!(
        status == 200,
        "moto did not make the bucket: status {status}"
    );
    Ok(server)
}
