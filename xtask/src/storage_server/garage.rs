//! Garage, an S3-compatible store that ignores the conditions of writes: for the long suite.

use anyhow::Result;

use super::server::{Ready, Server, free_address, tied};
use crate::cargo_program::CargoProgram;

const PROGRAM: CargoProgram = CargoProgram {
    name: "garage",
    version: "2.5.0",
    arguments: &["--no-default-features", "--features", "bundled-libs,sqlite"],
    building: "building Garage",
};
const BUCKET: &str = "keelgate-test";
// Garage wants keys of this form.
const ACCESS_KEY: &str = "GK6b65656c676174652d746573";
const SECRET_KEY: &str = "6b65656c676174652d7465737400000000000000000000000000000000000000";

/// Gets the program and starts it with an empty bucket.
pub(crate) fn start() -> Result<Server> {
    let program = PROGRAM.get()?;
    let directory = tempfile::tempdir()?;
    let (address, internal) = (free_address()?, free_address()?);
    let data = directory.path().display();
    let configuration = directory.path().join("garage.toml");
    std::fs::write(
        &configuration,
        format!(
            r#"
metadata_dir = "{data}/meta"
data_dir = "{data}/data"
db_engine = "sqlite"
replication_factor = 1
rpc_bind_addr = "{internal}"
rpc_public_addr = "{internal}"
rpc_secret = "{SECRET_KEY}"

[s3_api]
s3_region = "us-east-1"
api_bind_addr = "{address}"
root_domain = ".s3.localhost"
"#
        ),
    )?;
    let mut command = tied(&program);
    command
        .arg("--config")
        .arg(&configuration)
        .args(["server", "--single-node", "--default-bucket"])
        .env("GARAGE_DEFAULT_ACCESS_KEY", ACCESS_KEY)
        .env("GARAGE_DEFAULT_SECRET_KEY", SECRET_KEY)
        .env("GARAGE_DEFAULT_BUCKET", BUCKET);
    let ready = Ready {
        // It asks for a signature as soon as it serves.
        status: 403,
        ..Ready::get("/")
    };
    let name = format!("Garage {}", PROGRAM.version);
    let server = Server::launch(name, command, address, directory, &ready)?;
    let variables = vec![
        ("KEELGATE_TEST_GARAGE_ENDPOINT", server.endpoint()),
        ("KEELGATE_TEST_GARAGE_BUCKET", BUCKET.to_owned()),
        ("KEELGATE_TEST_GARAGE_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
        (
            "KEELGATE_TEST_GARAGE_SECRET_ACCESS_KEY",
            SECRET_KEY.to_owned(),
        ),
    ];
    Ok(server.told_by(variables))
}
