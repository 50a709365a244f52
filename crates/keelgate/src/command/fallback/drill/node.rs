//! A throw-away data plane whose control plane is away.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use keelgate_settings::Settings;
use reqwest::Client;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::Outage;
use crate::free_port;

/// How often the node is asked whether it is ready.
const ASK_EVERY: Duration = Duration::from_millis(10);

/// How long it may take to end by itself.
const END_WITHIN: Duration = Duration::from_secs(3);

/// Lines of its log that are shown when it fails.
const LAST_WORDS: usize = 15;

/// What the gateway answers where no route matches.
const NO_ROUTE: &str = "no Route matched with those values";

/// How a request was answered.
pub(super) struct Answer {
    pub(super) status: u16,
    /// Whether the gateway had no route for it.
    pub(super) misses: bool,
}

/// The node. Its process is killed and its directory removed when it is dropped.
pub(super) struct Node {
    child: Child,
    started: Instant,
    client: Client,
    proxy: u16,
    status: u16,
    log: PathBuf,
    prefix: TempDir,
    /// Takes connections and never answers, for a control plane that is silent.
    _silent: Option<TcpListener>,
}

impl Node {
    /// Starts it with the settings of this machine and what a drill changes in them.
    pub(super) fn start(settings: &Settings, conf: Option<&Path>, outage: Outage) -> Result<Self> {
        let prefix =
            TempDir::with_prefix("keelgate-drill-").context("cannot make a temporary directory")?;
        let (proxy, status, control_plane) = (
            free_port::listen()?,
            free_port::listen()?,
            free_port::listen()?,
        );
        let port = |listener: &TcpListener| Ok::<_, anyhow::Error>(listener.local_addr()?.port());
        let (proxy_port, status_port) = (port(&proxy)?, port(&status)?);
        let changed = changes(
            settings,
            proxy_port,
            status_port,
            port(&control_plane)?,
            prefix.path(),
        );
        drop((proxy, status));
        // What nobody listens on refuses at once.
        let silent = match outage {
            Outage::Silent => Some(control_plane),
            Outage::Refused => None,
        };
        let log = prefix.path().join("drill.log");
        let output = std::fs::File::create(&log)?;
        let program = std::env::current_exe().context("cannot find this program's file")?;
        let mut command = Command::new(program);
        command.args(["start", "--foreground", "--prefix"]);
        command.arg(prefix.path());
        if let Some(conf) = conf {
            command.arg("--conf").arg(conf);
        }
        command
            .envs(changed)
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true);
        let started = Instant::now();
        Ok(Self {
            child: command.spawn().context("cannot start the data plane")?,
            started,
            client: Client::builder()
                .timeout(Duration::from_secs(5))
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .build()?,
            proxy: proxy_port,
            status: status_port,
            log,
            prefix,
            _silent: silent,
        })
    }

    /// Waits until it serves a configuration; answers how long that took since its process began.
    pub(super) async fn ready(&mut self, within: Duration) -> Result<Duration> {
        let url = format!("http://127.0.0.1:{}/status/ready", self.status);
        loop {
            if let Ok(answer) = self.client.get(&url).send().await
                && answer.status().is_success()
            {
                return Ok(self.started.elapsed());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the data plane ended ({status}):\n{}", self.last_words());
            }
            if self.started.elapsed() > within {
                bail!(
                    "the data plane was not ready within {} s:\n{}",
                    within.as_secs(),
                    self.last_words()
                );
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    /// What its status API says of its source, once it says what serves.
    pub(super) async fn source(&self) -> Result<Value> {
        let url = format!("http://127.0.0.1:{}/status", self.status);
        loop {
            let mut status: Value = self.client.get(&url).send().await?.json().await?;
            let source = status["keelgate"]["source"].take();
            if source["serving"].is_object() {
                return Ok(source);
            }
            // What serves is told a moment after it began to.
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    /// Sends a request through its proxy.
    pub(super) async fn request(&self, path: &str, host: Option<&str>) -> Result<Answer> {
        let path = path.trim_start_matches('/');
        let mut request = self
            .client
            .get(format!("http://127.0.0.1:{}/{path}", self.proxy));
        if let Some(host) = host {
            request = request.header(reqwest::header::HOST, host);
        }
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        // An upstream's own 404 says something else; and it may be endless.
        let is_short = answer.content_length().is_some_and(|length| length < 4096);
        let misses = status == 404 && is_short && answer.text().await?.contains(NO_ROUTE);
        Ok(Answer { status, misses })
    }

    /// Ends the process, by force when it does not end in time, and removes its directory.
    pub(super) async fn end(mut self) {
        let pid = self
            .child
            .id()
            .and_then(|pid| rustix::process::Pid::from_raw(pid.cast_signed()));
        if let Some(pid) = pid {
            // It may have ended by itself just now.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        if tokio::time::timeout(END_WITHIN, self.child.wait())
            .await
            .is_err()
        {
            let _ = self.child.kill().await;
        }
        drop(self.prefix);
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LAST_WORDS)..].join("\n")
    }
}

/// What a drill changes in the settings, in the form of the environment, which wins over the file.
fn changes(
    settings: &Settings,
    proxy: u16,
    status: u16,
    control_plane: u16,
    prefix: &Path,
) -> Vec<(&'static str, String)> {
    let listed = |values: Vec<String>| values.join(",");
    let storage = settings.fallback.cluster_fallback_config_storage.iter();
    // Whose signature counts depends on where the control plane is: that must not change with it.
    let signers = settings
        .fallback
        .cluster_fallback_config_signers
        .iter()
        .cloned()
        .chain(
            settings
                .cluster
                .cluster_control_plane
                .iter()
                .map(|address| address.host.clone()),
        );
    vec![
        ("KEELGATE_ROLE", "data_plane".to_owned()),
        ("KEELGATE_DATABASE", "off".to_owned()),
        ("KEELGATE_ADMIN_LISTEN", "off".to_owned()),
        ("KEELGATE_ADMIN_GUI_LISTEN", "off".to_owned()),
        ("KEELGATE_STREAM_LISTEN", "off".to_owned()),
        ("KEELGATE_PROXY_LISTEN", format!("127.0.0.1:{proxy}")),
        ("KEELGATE_STATUS_LISTEN", format!("127.0.0.1:{status}")),
        (
            "KEELGATE_CLUSTER_CONTROL_PLANE",
            format!("127.0.0.1:{control_plane}"),
        ),
        (
            "KEELGATE_CLUSTER_FALLBACK_CONFIG_SIGNERS",
            listed(signers.collect()),
        ),
        (
            "KEELGATE_CLUSTER_FALLBACK_CONFIG_STORAGE",
            listed(storage.map(ToString::to_string).collect()),
        ),
        ("KEELGATE_CLUSTER_FALLBACK_CONFIG_IMPORT", "on".to_owned()),
        // A drill must leave no trace in the storage.
        ("KEELGATE_CLUSTER_FALLBACK_CONFIG_EXPORT", "off".to_owned()),
        ("KEELGATE_NGINX_WORKER_PROCESSES", "1".to_owned()),
        ("KEELGATE_LOG_LEVEL", "info".to_owned()),
        ("KEELGATE_PROXY_ACCESS_LOG", "off".to_owned()),
        (
            "KEELGATE_PROXY_ERROR_LOG",
            prefix.join("drill.log").display().to_string(),
        ),
    ]
}
