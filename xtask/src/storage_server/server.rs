//! A server as a process: started, waited for, ended.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use crate::progress;

/// A running server; it ends with this value.
pub(crate) struct Server {
    child: Child,
    name: String,
    address: SocketAddr,
    /// Its data and its log.
    directory: TempDir,
    variables: Vec<(&'static str, String)>,
}

/// The request that a server answers with this status once it is ready.
pub(super) struct Ready<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) body: &'a str,
    pub(super) status: u16,
}

impl<'a> Ready<'a> {
    pub(super) fn get(path: &'a str) -> Self {
        Self {
            method: "GET",
            path,
            body: "",
            status: 200,
        }
    }
}

impl Server {
    /// For people.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its address as a URL.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The variables by which tests find it.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&'static str, String)> + '_ {
        self.variables.iter().cloned()
    }

    pub(super) fn launch(
        name: String,
        command: Command,
        address: SocketAddr,
        directory: TempDir,
        ready: &Ready<'_>,
    ) -> Result<Self> {
        Self::launch_until(name, command, address, directory, || {
            http(address, ready.method, ready.path, ready.body)
                .is_ok_and(|status| status == ready.status)
        })
    }

    /// Starts a server, and waits until it is ready.
    pub(crate) fn launch_until(
        name: String,
        mut command: Command,
        address: SocketAddr,
        directory: TempDir,
        is_ready: impl Fn() -> bool,
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
            variables: Vec::new(),
        };
        let deadline = Instant::now() + Duration::from_secs(60);
        while !is_ready() {
            let ended = server.child.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                bail!("{} did not start; it said:\n{}", server.name, server.log());
            }
            progress::pause(Duration::from_millis(50));
        }
        progress::done(&format!("{} answers at {address}", server.name));
        Ok(server)
    }

    /// The same, told to tests by these variables.
    pub(crate) fn told_by(mut self, variables: Vec<(&'static str, String)>) -> Self {
        self.variables = variables;
        self
    }

    fn log(&self) -> String {
        let log = std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        progress::tail(&log, 20)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until one of them ends, which none does by itself.
pub(super) fn wait_for_any(servers: &mut [Server]) -> Result<()> {
    loop {
        for server in &mut *servers {
            if server.child.try_wait()?.is_some() {
                bail!("{} has ended; it said:\n{}", server.name, server.log());
            }
        }
        progress::pause(Duration::from_millis(500));
    }
}

/// A command that ends with this process, however it ends, where the system has
/// a program that arranges that.
pub(super) fn tied(program: &Path) -> Command {
    if !answers("setpriv", "--version") {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(program);
    command
}

/// Whether a program is installed.
pub(crate) fn answers(program: &str, argument: &str) -> bool {
    Command::new(program)
        .arg(argument)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

pub(crate) fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?)
}

/// The status of a bare HTTP request; a body is JSON.
pub(super) fn http(address: SocketAddr, method: &str, path: &str, body: &str) -> Result<u16> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.take(4096).read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).context("no status line")?;
    Ok(status.parse()?)
}
