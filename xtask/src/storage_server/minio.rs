//! MinIO, and moto in its place where it cannot be built.

use std::path::Path;

use anyhow::Result;

use super::go::{Build, GoProgram, Source};
use super::moto;
use super::server::{Ready, Server, free_address, tied};
use crate::progress;

static PROGRAM: GoProgram = GoProgram {
    title: "the S3 server MinIO",
    binary: "minio",
    source: Source::Package("github.com/minio/minio"),
    // MinIO's releases are not Go versions; this is one by its date and commit.
    version: "v0.0.0-20260212201848-7aac2a2c5b7c",
    building: "building MinIO",
};

pub(super) const BUCKET: &str = "keelgate-test";
const ACCESS_KEY: &str = "keelgate-test";
const SECRET_KEY: &str = "keelgate-test-secret";

/// The program, being got or there.
pub(crate) struct Program(Build);

pub(super) fn get() -> Result<Program> {
    PROGRAM.get().map(Program)
}

impl Program {
    /// Gets it without starting it.
    pub(crate) fn install(self) -> Result<()> {
        match self.0.ready()? {
            Ok(_) => Ok(()),
            Err(reason) => moto_instead(&reason).map(drop),
        }
    }

    /// Waits until the program is there, starts it on a free port with an empty
    /// bucket, and waits until it answers.
    pub(crate) fn start(self) -> Result<Server> {
        let server = match self.0.ready()? {
            Ok(program) => start(&program)?,
            Err(reason) => moto::start(&moto_instead(&reason)?)?,
        };
        let variables = vec![
            ("KEELGATE_TEST_S3_SERVER", server.name().to_owned()),
            ("KEELGATE_TEST_S3_ENDPOINT", server.endpoint()),
            ("KEELGATE_TEST_S3_BUCKET", BUCKET.to_owned()),
            ("KEELGATE_TEST_S3_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("KEELGATE_TEST_S3_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
        ];
        Ok(server.told_by(variables))
    }

    /// The test bucket, as a storage of the fallback settings.
    pub(crate) fn location() -> String {
        format!("s3://{BUCKET}/bench")
    }
}

fn moto_instead(reason: &str) -> Result<std::path::PathBuf> {
    progress::step(&format!("the tests use moto in place of MinIO: {reason}"));
    moto::get()
}

fn start(program: &Path) -> Result<Server> {
    let directory = tempfile::tempdir()?;
    let data = directory.path().join("data");
    // A directory in its data is a bucket to MinIO.
    std::fs::create_dir_all(data.join(BUCKET))?;
    let address = free_address()?;
    let mut command = tied(program);
    command
        .args(["server", "--quiet", "--address", &address.to_string()])
        .arg(&data)
        .env("MINIO_ROOT_USER", ACCESS_KEY)
        .env("MINIO_ROOT_PASSWORD", SECRET_KEY)
        .env("MINIO_BROWSER", "off")
        .env("MINIO_UPDATE", "off");
    Server::launch(
        format!("MinIO {}", PROGRAM.version),
        command,
        address,
        directory,
        &Ready::get("/minio/health/ready"),
    )
}
