//! The PostgreSQL server that the tests run against: Debian's, or whichever is installed.
//!
//! It runs on a free port with an empty data directory, and ends with the task. Tests that kill
//! servers start their own, with the programs that `KEELGATE_TEST_POSTGRES_BIN` names.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::debian;
use crate::storage_server::{Server, answers, free_address};

const USER: &str = "keelgate";
const PASSWORD: &str = "keelgate-test";
/// What is needed of the package.
const PROGRAMS: [&str; 3] = ["initdb", "postgres", "pg_isready"];
/// Nobody, whom PostgreSQL runs as where the tests run as root, which it refuses to.
const NOBODY: u32 = 65534;

/// The directory of the server's programs; installs them where that is possible.
pub(crate) fn programs() -> Result<PathBuf> {
    if let Some(found) = installed() {
        return Ok(found);
    }
    ensure!(
        debian::is_here(),
        "the tests need PostgreSQL 13 or newer: install it (Debian: apt install postgresql)"
    );
    debian::install(&["postgresql"])?;
    installed().context("the package postgresql has brought no server")
}

fn installed() -> Option<PathBuf> {
    let debian = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let mut found: Vec<_> = debian
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .chain(
            std::env::var_os("PATH")
                .iter()
                .flat_map(std::env::split_paths),
        )
        .filter(|directory| PROGRAMS.iter().all(|name| directory.join(name).exists()))
        .collect();
    found.sort();
    found.pop()
}

/// Whether a commit is on the disk before it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// As a server is run.
    Full,
    /// What tests write need not outlive the machine.
    None,
}

/// Starts it.
pub(crate) fn start(durability: Durability) -> Result<Server> {
    let programs = programs()?;
    let directory = tempfile::Builder::new()
        .prefix("keelgate-postgres-")
        .tempdir()?;
    let data = directory.path().join("data");
    let password = directory.path().join("password");
    std::fs::write(&password, PASSWORD)?;
    if rustix::process::geteuid().is_root() {
        for path in [directory.path(), &password] {
            std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY))?;
        }
    }
    let initialised = unprivileged(&programs.join("initdb"))?
        .args([
            "--no-sync",
            "--encoding=UTF8",
            "--locale=C",
            "--auth=scram-sha-256",
        ])
        .arg(format!("--username={USER}"))
        .arg(format!("--pwfile={}", password.display()))
        .arg(&data)
        .stdin(Stdio::null())
        .output()
        .context("cannot run initdb")?;
    ensure!(
        initialised.status.success(),
        "initdb failed; it said:\n{}",
        String::from_utf8_lossy(&initialised.stderr)
    );
    let address = free_address()?;
    let mut command = unprivileged(&programs.join("postgres"))?;
    command
        .arg("-D")
        .arg(&data)
        .args(["-h", &address.ip().to_string()])
        .args(["-p", &address.port().to_string()])
        .args(["-c", "unix_socket_directories="])
        .args(["-c", "max_connections=300"]);
    if durability == Durability::None {
        command.args(["-c", "fsync=off"]);
    }
    let version = Command::new(programs.join("postgres"))
        .arg("--version")
        .output()?;
    let version = String::from_utf8_lossy(&version.stdout);
    let version = version.split_whitespace().nth(2).unwrap_or_default();
    let is_ready = programs.join("pg_isready");
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let asked = format!("--host={host} --port={port}");
    let server = Server::launch_until(
        format!("PostgreSQL {version}"),
        command,
        address,
        directory,
        || {
            Command::new(&is_ready)
                .args(asked.split(' '))
                .stdout(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
        },
    )?;
    Ok(server.told_by(vec![
        ("KEELGATE_TEST_POSTGRES_BIN", programs.display().to_string()),
        ("KEELGATE_TEST_POSTGRES_HOST", host),
        ("KEELGATE_TEST_POSTGRES_PORT", port),
        ("KEELGATE_TEST_POSTGRES_USER", USER.to_owned()),
        ("KEELGATE_TEST_POSTGRES_PASSWORD", PASSWORD.to_owned()),
    ]))
}

/// A command that ends with this process, and runs as a user that PostgreSQL accepts.
fn unprivileged(program: &Path) -> Result<Command> {
    let is_root = rustix::process::geteuid().is_root();
    if !answers("setpriv", "--version") {
        ensure!(
            !is_root,
            "PostgreSQL refuses to run as root: run the tests as another user, or install setpriv"
        );
        return Ok(Command::new(program));
    }
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if is_root {
        let nobody = NOBODY.to_string();
        command.args(["--reuid", &nobody, "--regid", &nobody, "--clear-groups"]);
    }
    command.arg(program);
    Ok(command)
}
