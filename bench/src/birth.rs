//! Cold start during an outage: a data plane with an empty disk, a control plane that refuses, and a
//! snapshot in an S3 server.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Args;

use crate::process::Process;
use crate::table::{self, median};
use crate::{port, upstream, wait};

/// Options of `birth`.
#[derive(Args)]
pub(crate) struct BirthArguments {
    /// Storage to use, with the usual AWS_* variables beside it. Each run takes a prefix of its own.
    #[arg(long, env = "BENCH_STORAGE", value_name = "URL")]
    storage: String,
    /// How many routes the snapshots hold.
    #[arg(long, value_delimiter = ',', default_value = "1,1000,100000")]
    routes: Vec<usize>,
}

/// Measures each size and prints the table.
pub(crate) fn run(keelgate: &Path, options: &BirthArguments, quick: bool) -> anyhow::Result<()> {
    let rounds = if quick { 2 } else { 5 };
    let upstream = upstream::start()?;
    let mut rows = Vec::new();
    for &routes in &options.routes {
        let directory = tempfile::tempdir()?;
        let storage = format!(
            "{}/bench-{}-{routes}",
            options.storage.trim_end_matches('/'),
            std::process::id()
        );
        let cluster = Cluster {
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?,
            keelgate,
            directory: directory.path(),
            storage: &storage,
        };
        let backed_up = cluster.back_up(routes, upstream)?;
        let mut times = Vec::new();
        let mut memory = Vec::new();
        for round in 0..rounds {
            let (time, bytes) = cluster.give_birth(round, routes)?;
            times.push(time.as_secs_f64() * 1e3);
            memory.push(bytes as f64 / 1048576.0);
        }
        let worst = times.iter().copied().fold(0.0, f64::max);
        rows.push(vec![
            routes.to_string(),
            format!("{:.0}", median(&times)),
            format!("{worst:.0}"),
            format!("{:.0}", median(&memory)),
            format!("{:.0}", backed_up.as_secs_f64() * 1e3),
        ]);
    }
    let header = [
        "routes",
        "exec to first 200, ms",
        "slowest, ms",
        "RSS then, MiB",
        "control plane start to backup, ms",
    ];
    table::print(
        &format!(
            "Birth during an outage, from {} ({rounds} rounds)",
            options.storage
        ),
        &header,
        &rows,
    );
    Ok(())
}

struct Cluster<'a> {
    runtime: tokio::runtime::Runtime,
    keelgate: &'a Path,
    directory: &'a Path,
    storage: &'a str,
}

impl Cluster<'_> {
    fn command(&self, prefix: &str) -> Command {
        let mut command = Command::new(self.keelgate);
        command.envs([
            (
                "KONG_PREFIX",
                self.directory.join(prefix).display().to_string(),
            ),
            (
                "KONG_CLUSTER_CERT",
                self.directory.join("cluster.crt").display().to_string(),
            ),
            (
                "KONG_CLUSTER_CERT_KEY",
                self.directory.join("cluster.key").display().to_string(),
            ),
            (
                "KONG_CLUSTER_FALLBACK_CONFIG_STORAGE",
                self.storage.to_owned(),
            ),
            ("KONG_STATUS_LISTEN", "off".to_owned()),
            ("KONG_NGINX_WORKER_PROCESSES", "2".to_owned()),
        ]);
        command
    }

    fn succeed(mut command: Command) -> anyhow::Result<()> {
        let output = command.output()?;
        if !output.status.success() {
            bail!(
                "{command:?}: {}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(())
    }

    /// Fills a control plane, lets it export, and kills it. Returns the time from its start to the
    /// finished backup.
    fn back_up(&self, routes: usize, upstream: SocketAddr) -> anyhow::Result<Duration> {
        let mut gen_cert = Command::new(self.keelgate);
        gen_cert
            .args(["hybrid", "gen_cert"])
            .arg(self.directory.join("cluster.crt"))
            .arg(self.directory.join("cluster.key"));
        Self::succeed(gen_cert)?;
        let file = self.directory.join("kong.json");
        std::fs::write(&file, declarative(routes, upstream))?;
        let mut import = self.command("control-plane");
        import.args(["config", "db_import"]).arg(&file);
        Self::succeed(import)?;
        let status = port::free()?;
        let mut command = self.command("control-plane");
        command.args(["start", "--foreground"]).envs([
            ("KONG_ROLE", "control_plane".to_owned()),
            ("KONG_ADMIN_LISTEN", format!("127.0.0.1:{}", port::free()?)),
            ("KONG_STATUS_LISTEN", format!("127.0.0.1:{status}")),
            (
                "KONG_CLUSTER_LISTEN",
                format!("127.0.0.1:{}", port::free()?),
            ),
            ("KONG_CLUSTER_FALLBACK_CONFIG_EXPORT", "on".to_owned()),
        ]);
        let log = self.directory.join("control-plane.log");
        let start = Instant::now();
        let process = Process::start(&mut command, &log)?;
        let url = format!("http://127.0.0.1:{status}/status");
        let is_published = |_, body: &str| {
            let report: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
            report["keelgate"]["fallback"][0]["last_success"]["identity"].is_object()
        };
        self.runtime
            .block_on(wait::until(&process, &log, &url, is_published))?;
        let time = start.elapsed();
        process.kill();
        Ok(time)
    }

    /// Starts a data plane on an empty disk. Returns the time to its first 200 and its memory then.
    fn give_birth(&self, round: usize, routes: usize) -> anyhow::Result<(Duration, u64)> {
        let port = port::free()?;
        let mut command = self.command(&format!("data-plane-{round}"));
        command.args(["start", "--foreground"]).envs([
            ("KONG_ROLE", "data_plane".to_owned()),
            ("KONG_DATABASE", "off".to_owned()),
            ("KONG_PROXY_LISTEN", format!("127.0.0.1:{port} reuseport")),
            (
                "KONG_CLUSTER_CONTROL_PLANE",
                format!("127.0.0.1:{}", port::free()?),
            ),
            ("KONG_CLUSTER_FALLBACK_CONFIG_IMPORT", "on".to_owned()),
        ]);
        let log = self.directory.join(format!("data-plane-{round}.log"));
        let url = format!("http://127.0.0.1:{port}/route-{}/", routes - 1);
        let start = Instant::now();
        let process = Process::start(&mut command, &log)?;
        self.runtime
            .block_on(wait::until(&process, &log, &url, |status, _| status == 200))?;
        let time = start.elapsed();
        let memory = process.usage()?.memory;
        process.kill();
        Ok((time, memory))
    }
}

fn declarative(routes: usize, upstream: SocketAddr) -> String {
    let mut text = format!(
        "{{\"_format_version\":\"3.0\",\"services\":[{{\"name\":\"s\",\"url\":\"http://{upstream}\",\"routes\":["
    );
    for number in 0..routes {
        let comma = if number == 0 { "" } else { "," };
        let _ = write!(
            text,
            "{comma}{{\"name\":\"r{number}\",\"paths\":[\"/route-{number}/\"]}}"
        );
    }
    text.push_str("]}]}");
    text
}
