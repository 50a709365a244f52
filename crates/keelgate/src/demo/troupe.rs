//! The processes of the demo: real `keelgate` nodes, each with its own prefix and ports.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::free_port;

/// How long a step may take before the demo gives up.
const PATIENCE: Duration = Duration::from_secs(20);

/// One node: a `keelgate` process of this same binary. Killed when dropped.
pub(crate) struct Node {
    name: &'static str,
    prefix: PathBuf,
    settings: Vec<(&'static str, String)>,
    child: Option<Child>,
    started: Instant,
    client: reqwest::Client,
    /// Port of the proxy, or of the Admin API for a control plane.
    pub(crate) port: u16,
    /// Port of the status API.
    status_port: u16,
}

impl Node {
    /// A node that is not started yet. `settings` in `KONG_*` form.
    pub(crate) fn new(
        name: &'static str,
        directory: &Path,
        settings: &[(&'static str, String)],
    ) -> anyhow::Result<Self> {
        let (port, status_port) = (free_port::number()?, free_port::number()?);
        let prefix = directory.join(name.replace(' ', "-"));
        let mut all = vec![
            ("KONG_PREFIX", prefix.display().to_string()),
            ("KONG_STATUS_LISTEN", format!("127.0.0.1:{status_port}")),
            ("KONG_NGINX_WORKER_PROCESSES", "1".into()),
        ];
        all.extend(settings.iter().cloned());
        std::fs::create_dir_all(&prefix)
            .with_context(|| format!("cannot make {}", prefix.display()))?;
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(2))
            .build()?;
        Ok(Self {
            name,
            prefix,
            settings: all,
            child: None,
            started: Instant::now(),
            client,
            port,
            status_port,
        })
    }

    /// Adds a setting that depends on the node's own ports.
    pub(crate) fn with(mut self, name: &'static str, value: String) -> Self {
        self.settings.push((name, value));
        self
    }

    /// Starts the process.
    pub(crate) fn start(&mut self) -> anyhow::Result<()> {
        let binary = std::env::current_exe().context("cannot find this binary")?;
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log())?;
        self.started = Instant::now();
        let child = Command::new(binary)
            .args(["start", "--foreground"])
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| {
                let name = name.to_string_lossy();
                !name.starts_with("KONG_") && !name.starts_with("KEELGATE_")
            }))
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start the {}", self.name))?;
        self.child = Some(child);
        Ok(())
    }

    /// SIGKILL: no chance to say good-bye.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().context("cannot kill")?;
            child.wait()?;
        }
        Ok(())
    }

    /// Time since the process was started.
    pub(crate) fn age(&self) -> Duration {
        self.started.elapsed()
    }

    fn log(&self) -> PathBuf {
        self.prefix.join("demo.log")
    }

    /// A URL on the node's own port.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Waits until `GET url` answers 200, and returns the time that took.
    pub(crate) async fn answers(&self, url: &str) -> anyhow::Result<Duration> {
        let start = Instant::now();
        loop {
            let refusal = match self.client.get(url).send().await {
                Ok(answer) if answer.status() == 200 => return Ok(start.elapsed()),
                Ok(answer) => format!("status {}", answer.status()),
                Err(error) => error.to_string(),
            };
            if start.elapsed() > PATIENCE {
                bail!(
                    "the {} did not answer {url}: {refusal}\n{}",
                    self.name,
                    self.last_words()
                );
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Waits until the node serves a path.
    pub(crate) async fn serves(&self, path: &str) -> anyhow::Result<Duration> {
        self.answers(&self.url(path)).await
    }

    /// Sends a change to the Admin API of this node.
    pub(crate) async fn change(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Value,
    ) -> anyhow::Result<()> {
        let answer = self
            .client
            .request(method.clone(), self.url(path))
            .json(&body)
            .send()
            .await?;
        let status = answer.status();
        if !status.is_success() {
            bail!(
                "{method} {path}: {status} {}",
                answer.text().await.unwrap_or_default()
            );
        }
        Ok(())
    }

    /// The `keelgate` member of the status report.
    async fn report(&self) -> anyhow::Result<Value> {
        let url = format!("http://127.0.0.1:{}/status", self.status_port);
        let mut status: Value = self.client.get(url).send().await?.json().await?;
        Ok(status["keelgate"].take())
    }

    /// Waits until the report satisfies a condition.
    pub(crate) async fn reports(
        &self,
        condition: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        let start = Instant::now();
        loop {
            let seen = self.report().await;
            match seen {
                Ok(report) if condition(&report) => return Ok(report),
                _ if start.elapsed() < PATIENCE => {
                    tokio::time::sleep(Duration::from_millis(5)).await
                }
                Ok(report) => bail!("the {} reports {report}\n{}", self.name, self.last_words()),
                Err(error) => bail!(
                    "the {} gives no report: {error}\n{}",
                    self.name,
                    self.last_words()
                ),
            }
        }
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}
