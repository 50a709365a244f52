//! One `keelgate` process with its own prefix and ports.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::{ports, wait};

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Control plane and proxy in one, with a database.
    Traditional,
    /// The same without a database, configured by `kong.yml` or `POST /config`.
    Dbless,
    /// Admin API and cluster listener.
    ControlPlane,
    /// Proxy.
    DataPlane,
}

/// The ports of a node on 127.0.0.1.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// Proxy in clear.
    pub proxy: u16,
    /// Proxy over TLS.
    pub proxy_tls: u16,
    /// Admin API.
    pub admin: u16,
    /// Status API.
    pub status: u16,
    /// Control plane to data planes.
    pub cluster: u16,
}

/// A running (or killed) process. Killed when dropped.
pub struct Node {
    /// Its ports; kept over restarts.
    pub ports: Ports,
    role: Role,
    program: PathBuf,
    prefix: TempDir,
    environment: Vec<(String, String)>,
    child: Option<Child>,
    started: Instant,
}

/// The binary under test: `KEELGATE_BIN`, or what `cargo build` leaves beside the test.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("KEELGATE_BIN") {
        return path.into();
    }
    let path = std::env::current_exe()
        .expect("a test has a path")
        .ancestors()
        .nth(2)
        .expect("a test lies in target/PROFILE/deps")
        .join("keelgate");
    assert!(
        path.exists(),
        "{} is missing: run `cargo build` or `cargo xtask test`",
        path.display()
    );
    path
}

impl Node {
    /// Starts a process with these settings (names in `KONG_` form, without the prefix, lower case)
    /// beside those that every test node needs. Returns at once; see [`Node::ready`].
    pub fn start(role: Role, settings: &[(&str, &str)], environment: &[(String, String)]) -> Self {
        Self::start_program(&binary(), role, settings, environment)
    }

    /// The same with another program than the binary under test: a gateway with plugins of its own.
    pub fn start_program(
        program: &Path,
        role: Role,
        settings: &[(&str, &str)],
        environment: &[(String, String)],
    ) -> Self {
        let mut node = Self::prepare(program, role, settings, environment);
        node.start_again();
        node
    }

    /// The settings of a node that is not started: for commands, see [`Node::operate`].
    pub fn idle(environment: &[(String, String)]) -> Self {
        Self::prepare(&binary(), Role::Traditional, &[], environment)
    }

    fn prepare(
        program: &Path,
        role: Role,
        settings: &[(&str, &str)],
        environment: &[(String, String)],
    ) -> Self {
        let ports = Ports {
            proxy: ports::free(),
            proxy_tls: ports::free(),
            admin: ports::free(),
            status: ports::free(),
            cluster: ports::free(),
        };
        let prefix = tempfile::Builder::new()
            .prefix("keelgate-e2e-")
            .tempdir()
            .expect("make a prefix");
        let mut all: Vec<(String, String)> = vec![
            ("KONG_PREFIX".into(), prefix.path().display().to_string()),
            ("KONG_NGINX_WORKER_PROCESSES".into(), "2".into()),
            ("KONG_LOG_LEVEL".into(), "info".into()),
            (
                "KONG_STATUS_LISTEN".into(),
                format!("127.0.0.1:{}", ports.status),
            ),
        ];
        let mut set = |name: &str, value: String| all.push((name.into(), value));
        match role {
            Role::Traditional => {}
            Role::Dbless => set("KONG_DATABASE", "off".into()),
            Role::ControlPlane => set("KONG_ROLE", "control_plane".into()),
            Role::DataPlane => {
                set("KONG_ROLE", "data_plane".into());
                set("KONG_DATABASE", "off".into());
            }
        }
        match role {
            Role::DataPlane => set("KONG_ADMIN_LISTEN", "off".into()),
            _ => set("KONG_ADMIN_LISTEN", format!("127.0.0.1:{}", ports.admin)),
        }
        match role {
            Role::ControlPlane => {
                set(
                    "KONG_CLUSTER_LISTEN",
                    format!("127.0.0.1:{}", ports.cluster),
                );
            }
            _ => set(
                "KONG_PROXY_LISTEN",
                format!(
                    "127.0.0.1:{} reuseport, 127.0.0.1:{} ssl http2 reuseport",
                    ports.proxy, ports.proxy_tls
                ),
            ),
        }
        all.extend(environment.iter().cloned());
        for (name, value) in settings {
            all.push((format!("KONG_{}", name.to_uppercase()), (*value).into()));
        }
        Self {
            ports,
            role,
            program: program.to_owned(),
            prefix,
            environment: all,
            child: None,
            started: Instant::now(),
        }
    }

    /// Starts the process again with the same prefix, ports and settings.
    pub fn start_again(&mut self) {
        assert!(self.child.is_none(), "the process still runs");
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_path())
            .expect("open the log");
        let mut command = self.command(&["start", "--foreground"]);
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file handle can be cloned"))
            .stderr(log);
        self.started = Instant::now();
        self.child = Some(command.spawn().expect("start the binary under test"));
    }

    /// A command of the binary under test with the settings and variables of this node.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .env_clear()
            .envs(std::env::vars().filter(|(name, _)| {
                const OURS: [&str; 7] = [
                    "KONG_",
                    "KEELGATE_",
                    "AWS_",
                    "GCP_",
                    "GOOGLE_",
                    "AZURE_",
                    "STORAGE_",
                ];
                !OURS.iter().any(|prefix| name.starts_with(prefix))
            }))
            .envs(self.environment.iter().cloned());
        command
    }

    /// Runs another command with the settings and variables of this node, as its operator would;
    /// returns whether it succeeded, and what it said.
    pub async fn operate(&self, arguments: &[&str]) -> (bool, String) {
        let mut command = self.command(arguments);
        let output = tokio::task::spawn_blocking(move || command.stdin(Stdio::null()).output())
            .await
            .expect("the command is waited for")
            .expect("run the binary under test");
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    }

    /// Starts another command with the settings and variables of this node; what it says is lost.
    pub fn begin(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start the binary under test")
    }

    /// Changes or adds a setting for the next [`Node::start_again`].
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment
            .push((format!("KONG_{}", name.to_uppercase()), value.into()));
    }

    /// When the process was last started.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Its directory.
    pub fn prefix(&self) -> &Path {
        self.prefix.path()
    }

    fn log_path(&self) -> PathBuf {
        self.prefix.path().join("e2e.log")
    }

    /// Everything that it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// URL on the proxy port.
    pub fn proxy(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.ports.proxy)
    }

    /// URL on the Admin API.
    pub fn admin(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.ports.admin)
    }

    /// URL on the status API.
    pub fn status(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.ports.status)
    }

    /// Waits until the Admin API (control planes) or the status API answers.
    pub async fn up(&self) -> &Self {
        let url = match self.role {
            Role::DataPlane => self.status("/status"),
            _ => self.admin("/status"),
        };
        self.answers(&url, 200).await;
        self
    }

    /// Waits until the node serves a configuration.
    pub async fn ready(&self) -> &Self {
        self.answers(&self.status("/status/ready"), 200).await;
        self
    }

    /// Waits until `GET url` has this status, and returns the body.
    pub async fn answers(&self, url: &str, status: u16) -> String {
        wait::until(&format!("{status} from {url}"), || async {
            let answer = reqwest::get(url)
                .await
                .map_err(|error| format!("{error:?}\n{}", self.tail()))?;
            let seen = answer.status();
            let body = answer.text().await.map_err(|error| error.to_string())?;
            if seen == status {
                Ok(body)
            } else {
                Err(format!("{seen}: {body}\n{}", self.tail()))
            }
        })
        .await
    }

    /// The last lines of the log, for failure messages.
    fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// Waits until a `GET` through the proxy has this status, and returns the body.
    pub async fn serves(&self, path: &str, status: u16) -> String {
        self.answers(&self.proxy(path), status).await
    }

    /// Sends a request to the Admin API; panics unless it succeeds. Returns the answer, `null` when
    /// it is empty.
    pub async fn change(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.ask(method, path, body).await;
        assert!(
            (200..300).contains(&status),
            "{method} {path}: {status} {answer}"
        );
        answer
    }

    /// Sends a request to the Admin API and returns status and answer.
    pub async fn ask(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let mut request =
            reqwest::Client::new().request(method.parse().expect("a method"), self.admin(path));
        if !body.is_null() {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        let answer = request
            .send()
            .await
            .unwrap_or_else(|error| panic!("{method} {path}: {error:?}\n{}", self.tail()));
        let status = answer.status().as_u16();
        let text = answer.text().await.expect("read the answer");
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// The `keelgate` member of the status report.
    pub async fn report(&self) -> Value {
        let text = self.answers(&self.status("/status"), 200).await;
        let status: Value = serde_json::from_str(&text).expect("the status is JSON");
        status["keelgate"].clone()
    }

    /// The id by which the node is known in the election.
    pub async fn id(&self) -> String {
        let report = self.report().await;
        let id = report["node_id"].as_str().expect("every node has an id");
        id.to_owned()
    }

    /// The name of the source that serves: `control_plane`, `cache`, `storage`, …
    pub async fn source(&self) -> String {
        // What serves is told a moment after it began to.
        wait::until("a source in the report", || async {
            let report = self.report().await;
            let source = report["source"]["serving"]["source"].as_str();
            source
                .map(str::to_owned)
                .ok_or_else(|| format!("no source in {report}"))
        })
        .await
    }

    /// Waits until this source serves: another one may have had the same configuration a moment before.
    pub async fn follows(&self, source: &str) {
        wait::until(&format!("{source} to be the source"), || async {
            let serving = self.source().await;
            (serving == source).then_some(()).ok_or(serving)
        })
        .await;
    }

    /// SIGKILL, as an outage does it.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("kill the process");
            child.wait().expect("reap the process");
        }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("the process runs");
        kill_process(Pid::from_child(child), signal).expect("send a signal");
    }

    /// Waits for the process to end by itself.
    pub async fn exit(&mut self) -> ExitStatus {
        let status = wait::until("the process to end", || {
            let status = self
                .child
                .as_mut()
                .expect("the process runs")
                .try_wait()
                .expect("ask for the exit status");
            async move { status.ok_or("it still runs") }
        })
        .await;
        self.child = None;
        status
    }

    /// The process that is the node: another one than was started here after a handover.
    pub fn process(&self) -> Option<Pid> {
        let text = std::fs::read_to_string(self.prefix.path().join("pids/keelgate.pid")).ok()?;
        Pid::from_raw(text.lines().next()?.parse().ok()?)
    }

    /// Has the node hand over to a new process, by its signal, and waits until that is the node.
    /// Returns the process before, if it was the one that was started here.
    pub async fn hand_over(&mut self) -> Option<Child> {
        let before = self.process().expect("the node runs");
        kill_process(before, Signal::USR2).expect("send a signal");
        wait::until("another process to be the node", || async {
            match self.process() {
                Some(now) if now != before => Ok(()),
                _ => Err(self.tail()),
            }
        })
        .await;
        self.child.take()
    }

    /// SIGTERM, then waits for the end.
    pub async fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.exit().await
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            // The test harness shows captured output only for tests that failed.
            #[expect(clippy::print_stderr, reason = "the log explains the failed test")]
            {
                eprintln!(
                    "--- {:?} {}\n{}",
                    self.role,
                    self.ports.proxy,
                    lines[lines.len().saturating_sub(40)..].join("\n")
                );
            }
        }
        self.kill();
        // A process that has taken over is no child of the test; its variables show whose it is.
        if let Some(process) = self.process()
            && let Ok(variables) =
                std::fs::read(format!("/proc/{}/environ", process.as_raw_nonzero()))
            && String::from_utf8_lossy(&variables)
                .contains(&format!("KONG_PREFIX={}", self.prefix.path().display()))
        {
            let _ = kill_process(process, Signal::KILL);
        }
    }
}
