//! The S3 server that the tests run against: MinIO, built with Go; without Go
//! (or when that build fails) moto, from Python's package index.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::TempDir;

use crate::progress::{self, Background};
use crate::workspace;

/// MinIO's releases are not Go versions; this is one by its date and commit.
const MINIO_VERSION: &str = "v0.0.0-20260212201848-7aac2a2c5b7c";
const MOTO_VERSION: &str = "5.2.1";
const BUCKET: &str = "keelgate-test";
const ACCESS_KEY: &str = "keelgate-test";
const SECRET_KEY: &str = "keelgate-test-secret";

/// A server program that is being got, or is there.
pub(crate) enum Program {
    Minio(PathBuf),
    MinioBuild(Background, PathBuf),
    Moto(PathBuf),
}

/// Finds the program or starts to get it; building MinIO takes minutes and goes
/// on beside other work.
pub(crate) fn get() -> Result<Program> {
    let tools = workspace::tools();
    let directory = tools.join("bin");
    std::fs::create_dir_all(&directory)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    let minio = directory.join(format!("minio-{MINIO_VERSION}"));
    if minio.exists() {
        return Ok(Program::Minio(minio));
    }
    if !answers("go", "version") {
        progress::step("Go is not installed: the tests use moto in place of MinIO");
        return moto().map(Program::Moto);
    }
    progress::step("building the S3 server MinIO with Go (some minutes, once)");
    // Go puts the program under its own name; the version goes into ours so that
    // another pinned version is built anew.
    let build = tools.join("minio-build");
    std::fs::create_dir_all(&build)?;
    let mut command = Command::new("go");
    command
        .arg("install")
        .arg(format!("github.com/minio/minio@{MINIO_VERSION}"))
        .env("GOBIN", &build)
        .env("CGO_ENABLED", "0")
        .current_dir(&build);
    let log = tools.join("minio-build.log");
    let background = Background::start("building MinIO", &mut command, log)?;
    Ok(Program::MinioBuild(background, minio))
}

impl Program {
    /// Waits until the program is there.
    fn ready(self) -> Result<Self> {
        let Self::MinioBuild(background, minio) = self else {
            return Ok(self);
        };
        let (status, log) = background.wait()?;
        if status.success() {
            let built = workspace::tools().join("minio-build/minio");
            std::fs::rename(&built, &minio)
                .with_context(|| format!("Go left no {}", built.display()))?;
            return Ok(Self::Minio(minio));
        }
        progress::step(&format!(
            "MinIO could not be built; the tests use moto in its place. Go said:\n{}",
            progress::tail(&log, 15)
        ));
        moto().map(Self::Moto)
    }

    /// Gets it without starting it.
    pub(crate) fn install(self) -> Result<()> {
        self.ready().map(drop)
    }

    /// Waits until the program is there, starts it on a free port with an empty
    /// bucket, and waits until it answers.
    pub(crate) fn start(self) -> Result<Server> {
        match self.ready()? {
            Self::Minio(program) => minio_server(&program),
            Self::Moto(program) => moto_server(&program),
            Self::MinioBuild(..) => bail!("MinIO is still being built"),
        }
    }
}

/// A running server; it ends with this value.
pub(crate) struct Server {
    child: Child,
    name: String,
    address: SocketAddr,
    directory: TempDir,
}

impl Server {
    /// For people.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its address, for `AWS_CONFIG_STORAGE_ENDPOINT`.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its bucket, as a storage of the fallback settings.
    pub(crate) fn location(&self) -> String {
        format!("s3://{BUCKET}/bench")
    }

    /// The variables by which tests find it.
    pub(crate) fn variables(&self) -> [(&'static str, String); 8] {
        [
            ("KEELGATE_TEST_S3_SERVER", self.name.clone()),
            ("KEELGATE_TEST_S3_ENDPOINT", self.endpoint()),
            ("KEELGATE_TEST_S3_BUCKET", BUCKET.to_owned()),
            ("KEELGATE_TEST_S3_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("KEELGATE_TEST_S3_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
        ]
    }

    fn launch(
        name: String,
        mut command: Command,
        address: SocketAddr,
        directory: TempDir,
        ready: &str,
    ) -> Result<Self> {
        let log = std::fs::File::create(directory.path().join("log"))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let mut server = Self {
            child,
            name,
            address,
            directory,
        };
        let deadline = Instant::now() + Duration::from_secs(60);
        while !http(address, "GET", ready).is_ok_and(|status| status == 200) {
            let ended = server.child.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                let log = std::fs::read_to_string(server.directory.path().join("log"))
                    .unwrap_or_default();
                bail!(
                    "{} did not start; it said:\n{}",
                    server.name,
                    progress::tail(&log, 20)
                );
            }
            progress::pause(Duration::from_millis(50));
        }
        progress::done(&format!("{} answers at http://{address}", server.name));
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn minio_server(program: &Path) -> Result<Server> {
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
    let name = format!("MinIO {MINIO_VERSION}");
    Server::launch(name, command, address, directory, "/minio/health/ready")
}

fn moto() -> Result<PathBuf> {
    let directory = workspace::tools().join(format!("moto-{MOTO_VERSION}"));
    let program = directory.join("bin/moto_server");
    if program.exists() {
        return Ok(program);
    }
    ensure!(
        answers("python3", "--version"),
        "the tests need an S3 server: install Go (for MinIO) or Python 3 (for moto)"
    );
    progress::step("installing the S3 server moto");
    workspace::run(Command::new("python3").args(["-m", "venv"]).arg(&directory))?;
    workspace::run(
        Command::new(directory.join("bin/pip"))
            .args(["install", "--quiet"])
            .arg(format!("moto[server]=={MOTO_VERSION}")),
    )?;
    Ok(program)
}

fn moto_server(program: &Path) -> Result<Server> {
    let address = free_address()?;
    let mut command = tied(program);
    command.args([
        "-H",
        &address.ip().to_string(),
        "-p",
        &address.port().to_string(),
    ]);
    let name = format!("moto {MOTO_VERSION}");
    let server = Server::launch(name, command, address, tempfile::tempdir()?, "/moto-api/")?;
    let status = http(address, "PUT", &format!("/{BUCKET}"))?;
    ensure!(
        status == 200,
        "moto did not make the bucket: status {status}"
    );
    Ok(server)
}

/// Runs the server until the process is interrupted.
pub(crate) fn serve() -> Result<()> {
    let mut server = get()?.start()?;
    for (name, value) in server.variables() {
        anstream::println!("export {name}='{value}'");
    }
    server.child.wait()?;
    Ok(())
}

/// A command that ends with this process, however it ends, where the system has
/// a program that arranges that.
fn tied(program: &Path) -> Command {
    if !answers("setpriv", "--version") {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(program);
    command
}

fn answers(program: &str, argument: &str) -> bool {
    Command::new(program)
        .arg(argument)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?)
}

/// The status of a bare HTTP request without a body.
fn http(address: SocketAddr, method: &str, path: &str) -> Result<u16> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.take(4096).read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).context("no status line")?;
    Ok(status.parse()?)
}
