//! Azurite, Microsoft's own play of Azure Blob Storage, which compares entity tags as the real one
//! does and checks signatures.
//!
//! What it does not do: without TLS it takes no tokens of Entra ID, only account keys and shared
//! access signatures.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::server::{Ready, Server, answers, free_address, tied};
use crate::progress::{self, Background};
use crate::workspace;

const VERSION: &str = "3.35.0";
const ACCOUNT: &str = "keelgatetest";
const CONTAINER: &str = "keelgate-test";
/// "keelgate-test-account-key-for-azurite-only" in base64.
const ACCOUNT_KEY: &str = "a2VlbGdhdGUtdGVzdC1hY2NvdW50LWtleS1mb3ItYXp1cml0ZS1vbmx5";
/// A signature of the account, made with this key: all of the blob service until 2099.
const SHARED_ACCESS: &str = "sv=2019-12-12&ss=b&srt=sco&sp=rwdlac&se=2099-01-01T00%3A00%3A00Z&spr=https%2Chttp&sig=lU5un0IMVj8ONYFoZBem7Ga1hi9VqLVpRUf5EhgGCxY%3D";

/// The program, being got or there.
pub(super) enum Program {
    Installed(PathBuf),
    Installing(Background),
}

fn directory() -> PathBuf {
    workspace::tools().join(format!("azurite-{VERSION}"))
}

/// What was interrupted has another name, so that it is never taken for the whole.
fn partial() -> PathBuf {
    workspace::tools().join("azurite-partial")
}

pub(super) fn get() -> Result<Program> {
    let directory = directory();
    if directory.exists() {
        return Ok(Program::Installed(directory));
    }
    ensure!(
        answers("npm", "--version") && answers("node", "--version"),
        "the tests need Azurite: install Node.js with npm"
    );
    progress::step("installing Azurite with npm (once)");
    let partial = partial();
    std::fs::create_dir_all(&partial)
        .with_context(|| format!("cannot make {}", partial.display()))?;
    let mut command = Command::new("npm");
    command
        .args(["install", "--no-audit", "--no-fund", "--ignore-scripts"])
        .args(["--omit=optional", "--prefix"])
        .arg(&partial)
        .arg(format!("azurite@{VERSION}"))
        .current_dir(&partial);
    let log = partial.with_extension("log");
    Background::start("installing Azurite", &mut command, log).map(Program::Installing)
}

impl Program {
    /// Waits until the program is there.
    pub(super) fn ready(self) -> Result<PathBuf> {
        let background = match self {
            Self::Installed(directory) => return Ok(directory),
            Self::Installing(background) => background,
        };
        let (status, log) = background.wait()?;
        ensure!(
            status.success(),
            "Azurite could not be installed; npm said:\n{}",
            progress::tail(&log, 15)
        );
        let directory = directory();
        std::fs::rename(partial(), &directory)?;
        Ok(directory)
    }

    /// Starts it with an empty container.
    pub(super) fn start(self) -> Result<Server> {
        let program = self.ready()?;
        let address = free_address()?;
        let mut command = tied("node".as_ref());
        command
            .arg(program.join("node_modules/azurite/dist/src/blob/main.js"))
            .args(["--silent", "--disableTelemetry", "--inMemoryPersistence"])
            // Clients are newer than it.
            .arg("--skipApiVersionCheck")
            .args(["--blobHost", &address.ip().to_string()])
            .args(["--blobPort", &address.port().to_string()])
            .env("AZURITE_ACCOUNTS", format!("{ACCOUNT}:{ACCOUNT_KEY}"));
        let server = Server::launch(
            format!("Azurite {VERSION}"),
            command,
            address,
            tempfile::tempdir()?,
            &Ready {
                method: "PUT",
                path: &format!("/{ACCOUNT}/{CONTAINER}?restype=container&{SHARED_ACCESS}"),
                body: "",
                status: 201,
            },
        )?;
        let variables = vec![
            ("KEELGATE_TEST_AZURE_SERVER", server.name().to_owned()),
            (
                "KEELGATE_TEST_AZURE_ENDPOINT",
                format!("{}/{ACCOUNT}", server.endpoint()),
            ),
            ("KEELGATE_TEST_AZURE_ACCOUNT", ACCOUNT.to_owned()),
            ("KEELGATE_TEST_AZURE_CONTAINER", CONTAINER.to_owned()),
            ("KEELGATE_TEST_AZURE_ACCOUNT_KEY", ACCOUNT_KEY.to_owned()),
            ("KEELGATE_TEST_AZURE_SAS", SHARED_ACCESS.to_owned()),
        ];
        Ok(server.told_by(variables))
    }
}
