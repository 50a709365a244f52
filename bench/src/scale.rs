//! A control plane at scale: how long an import takes, how soon a change is served by a data plane,
//! and what the Admin API carries with all of it loaded, on SQLite and on PostgreSQL, beside Kong.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;
use hdrhistogram::Histogram;
use reqwest::Method;
use serde_json::{Value, json};

use crate::connection::Transport;
use crate::load::Load;
use crate::process::Process;
use crate::request::Request;
use crate::{peers, port, table, upstream, wait};

/// Options of `scale`.
#[derive(Args)]
pub(crate) struct ScaleArguments {
    #[arg(long, default_value_t = 100_000)]
    routes: usize,
    #[arg(long, default_value_t = 10_000)]
    services: usize,
    /// Each with a key.
    #[arg(long, default_value_t = 100_000)]
    consumers: usize,
    /// The PostgreSQL server; without one, SQLite alone is measured. The database `postgres` of it is
    /// emptied.
    #[arg(long, env = "KEELGATE_TEST_POSTGRES_HOST")]
    postgres_host: Option<String>,
    #[arg(long, env = "KEELGATE_TEST_POSTGRES_PORT", default_value_t = 5432)]
    postgres_port: u16,
    #[arg(long, env = "KEELGATE_TEST_POSTGRES_USER", default_value = "postgres")]
    postgres_user: String,
    #[arg(
        long,
        env = "KEELGATE_TEST_POSTGRES_PASSWORD",
        default_value = "",
        hide_env_values = true
    )]
    postgres_password: String,
    /// Measures PostgreSQL alone.
    #[arg(long)]
    postgres_only: bool,
}

impl ScaleArguments {
    /// The settings of a node on the PostgreSQL server, if there is one.
    fn postgres(&self) -> Option<Vec<(&'static str, String)>> {
        let host = self.postgres_host.clone()?;
        Some(vec![
            ("KONG_DATABASE", "postgres".to_owned()),
            ("KONG_PG_HOST", host),
            ("KONG_PG_PORT", self.postgres_port.to_string()),
            ("KONG_PG_USER", self.postgres_user.clone()),
            ("KONG_PG_PASSWORD", self.postgres_password.clone()),
            ("KONG_PG_DATABASE", "postgres".to_owned()),
            ("KONG_PG_TIMEOUT", "60000".to_owned()),
        ])
    }
}

const COLUMNS: [&str; 11] = [
    "gateway, database",
    "import, s",
    "start to first 200 of a data plane, s",
    "changed route to data plane, p50 ms",
    "p99 ms",
    "new key to data plane, p50 ms",
    "p99 ms",
    "reads/s",
    "writes/s",
    "control plane, MiB",
    "data plane, MiB",
];

/// The path of a route that asks for a key.
const GUARDED: &str = "/guarded/";

/// Requests to the Admin API that are under way at once.
const SENDERS: usize = 8;

/// Measures both databases and prints the table.
pub(crate) fn run(keelgate: &Path, options: &ScaleArguments, quick: bool) -> anyhow::Result<()> {
    let upstream = upstream::start()?;
    let mut cases = Vec::new();
    if !options.postgres_only {
        let environment = vec![("KONG_DATABASE", "sqlite".to_owned())];
        cases.push(("keelgate, SQLite", Program::Keelgate(keelgate), environment));
    }
    let kong = peers::installed("kong");
    let mut rows = Vec::new();
    if let Some(environment) = options.postgres() {
        let own = Program::Keelgate(keelgate);
        cases.push(("keelgate, PostgreSQL", own, environment.clone()));
        if let Some(kong) = &kong {
            cases.push(("kong, PostgreSQL", Program::Kong(kong), environment));
        }
    }
    for (name, program, environment) in cases {
        let directory = tempfile::tempdir()?;
        let cluster = Cluster {
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?,
            program,
            directory: directory.path(),
            environment,
        };
        rows.push(cluster.measure(name, options, upstream, quick)?);
    }
    let why = match (&kong, &options.postgres_host) {
        (None, _) => Some("not measured: KONG_BIN names no program"),
        (Some(_), None) => Some("not measured: it needs --postgres-host"),
        (Some(_), Some(_)) => None,
    };
    if let Some(why) = why {
        let mut row = vec!["kong, PostgreSQL".to_owned(), why.to_owned()];
        row.resize(COLUMNS.len(), String::new());
        rows.push(row);
    }
    table::print(
        &format!(
            "{} routes, {} services, {} consumers with a key each",
            options.routes, options.services, options.consumers
        ),
        &COLUMNS,
        &rows,
    );
    Ok(())
}

/// Whose control plane it is. Both know the same commands and settings.
#[derive(Clone, Copy)]
enum Program<'a> {
    Keelgate(&'a Path),
    Kong(&'a Path),
}

impl Program<'_> {
    fn command(self) -> Command {
        match self {
            Self::Keelgate(path) => Command::new(path),
            Self::Kong(path) => {
                let mut command = Command::new(path);
                command.envs(peers::KONG_IN_THE_FOREGROUND);
                command
            }
        }
    }

    fn start(self) -> &'static [&'static str] {
        match self {
            Self::Keelgate(_) => &["start", "--foreground"],
            Self::Kong(_) => &["start"],
        }
    }

    /// The commands that leave an empty database.
    fn empty_database(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::Keelgate(_) => &[&["migrations", "bootstrap", "--force", "--yes"]],
            // It refuses to reset what was not made.
            Self::Kong(_) => &[
                &["migrations", "bootstrap"],
                &["migrations", "reset", "--yes"],
                &["migrations", "bootstrap"],
            ],
        }
    }
}

struct Cluster<'a> {
    runtime: tokio::runtime::Runtime,
    program: Program<'a>,
    directory: &'a Path,
    environment: Vec<(&'static str, String)>,
}

impl Cluster<'_> {
    fn command(&self, prefix: &str) -> Command {
        let path = |name: &str| self.directory.join(name).display().to_string();
        let mut command = self.program.command();
        command.envs([
            ("KONG_PREFIX", path(prefix)),
            ("KONG_CLUSTER_CERT", path("cluster.crt")),
            ("KONG_CLUSTER_CERT_KEY", path("cluster.key")),
            ("KONG_CLUSTER_MAX_PAYLOAD", "1073741824".to_owned()),
            ("KONG_STATUS_LISTEN", "off".to_owned()),
            ("KONG_NGINX_WORKER_PROCESSES", "2".to_owned()),
        ]);
        command
    }

    /// A command on the database, whose success is awaited.
    fn operate(&self, arguments: &[&str]) -> anyhow::Result<Duration> {
        let start = Instant::now();
        let mut command = self.command("control-plane");
        let output = command
            .args(arguments)
            .envs(self.environment.iter().cloned())
            .output()?;
        if !output.status.success() {
            bail!(
                "{arguments:?}: {}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(start.elapsed())
    }

    fn measure(
        &self,
        name: &str,
        options: &ScaleArguments,
        upstream: SocketAddr,
        quick: bool,
    ) -> anyhow::Result<Vec<String>> {
        let path = |name: &str| self.directory.join(name).display().to_string();
        self.operate(&[
            "hybrid",
            "gen_cert",
            &path("cluster.crt"),
            &path("cluster.key"),
        ])?;
        let file = path("kong.json");
        std::fs::write(&file, declarative(options, upstream).to_string())?;
        if name.ends_with("PostgreSQL") {
            for command in self.program.empty_database() {
                self.operate(command)?;
            }
        }
        let imported = self.operate(&["config", "db_import", &file])?;
        std::fs::remove_file(&file)?;

        let (admin, cluster, proxy) = (port::free()?, port::free()?, port::free()?);
        let mut command = self.command("control-plane");
        command
            .args(self.program.start())
            .envs(self.environment.iter().cloned())
            .envs([
                ("KONG_ROLE", "control_plane".to_owned()),
                ("KONG_ADMIN_LISTEN", format!("127.0.0.1:{admin}")),
                ("KONG_CLUSTER_LISTEN", format!("127.0.0.1:{cluster}")),
            ]);
        let log = self.directory.join("control-plane.log");
        let start = Instant::now();
        let control_plane = Process::start(&mut command, &log)?;
        let mut command = self.command("data-plane");
        command.args(self.program.start()).envs([
            ("KONG_ROLE", "data_plane".to_owned()),
            ("KONG_DATABASE", "off".to_owned()),
            ("KONG_PROXY_LISTEN", format!("127.0.0.1:{proxy}")),
            ("KONG_CLUSTER_CONTROL_PLANE", format!("127.0.0.1:{cluster}")),
        ]);
        let log = self.directory.join("data-plane.log");
        let data_plane = Process::start(&mut command, &log)?;
        let served = |path: &str| {
            let url = format!("http://127.0.0.1:{proxy}{path}");
            self.runtime
                .block_on(wait::until(&data_plane, &log, &url, |status, _| {
                    status == 200
                }))
        };
        served(&format!("/route-{}/", options.routes - 1))?;
        let started = start.elapsed();

        let count = if quick { 5 } else { 100 };
        let changed = |change: &dyn Fn(usize) -> (Method, String, Value, String)| {
            let mut times = Histogram::<u64>::new(3)?;
            for number in 0..count {
                let (method, entity, body, path) = change(number);
                let url = format!("http://127.0.0.1:{admin}{entity}");
                let start = Instant::now();
                self.runtime.block_on(write(method, &url, &body))?;
                served(&path)?;
                times.record(u64::try_from(start.elapsed().as_micros())?)?;
            }
            anyhow::Ok(times)
        };
        let routes = changed(&|number| {
            let path = format!("/changed-{number}/");
            let body = json!({ "paths": [path] });
            (Method::PATCH, "/routes/route-0".to_owned(), body, path)
        })?;
        let keys = changed(&|number| {
            let key = format!("new-key-{number}");
            let entity = format!("/consumers/consumer-{number}/key-auth");
            let path = format!("{GUARDED}?apikey={key}");
            (Method::POST, entity, json!({ "key": key }), path)
        })?;
        let memory = control_plane.usage()?.memory;
        let of_data_plane = data_plane.usage()?.memory;
        data_plane.kill();

        let duration = Duration::from_secs(if quick { 3 } else { 20 });
        let per_second = |requests: Vec<Request>| {
            let load = Load {
                address: (Ipv4Addr::LOCALHOST, admin).into(),
                transport: Transport::Clear,
                requests: requests.into(),
                senders: SENDERS,
                connect: false,
                apart: false,
            };
            let outcome = load.run(duration, None)?;
            anyhow::Ok(outcome.requests as f64 / duration.as_secs_f64())
        };
        let reads = (0..100)
            .map(|number| Request::get(&format!("/services/service-{number}"), &[]))
            .collect::<anyhow::Result<_>>()?;
        let reads = per_second(reads)?;
        let writes = (0..100)
            .map(|number| {
                let body = Bytes::from_static(b"{\"tags\":[\"written\"]}");
                Request::patch(&format!("/services/service-{number}"), body)
            })
            .collect::<anyhow::Result<_>>()?;
        let writes = per_second(writes)?;
        let milliseconds = |times: &Histogram<u64>, quantile| {
            format!("{:.0}", times.value_at_quantile(quantile) as f64 / 1e3)
        };
        let mebibytes = |bytes: u64| format!("{:.0}", bytes as f64 / 1_048_576.0);
        Ok(vec![
            name.to_owned(),
            format!("{:.1}", imported.as_secs_f64()),
            format!("{:.1}", started.as_secs_f64()),
            milliseconds(&routes, 0.5),
            milliseconds(&routes, 0.99),
            milliseconds(&keys, 0.5),
            milliseconds(&keys, 0.99),
            format!("{reads:.0}"),
            format!("{writes:.0}"),
            mebibytes(memory),
            mebibytes(of_data_plane),
        ])
    }
}

async fn write(method: Method, url: &str, body: &Value) -> anyhow::Result<()> {
    let answer = reqwest::Client::new()
        .request(method, url)
        .header("content-type", "application/json")
        .body(body.to_string())
        .send()
        .await
        .context("no answer of the Admin API")?;
    let status = answer.status();
    anyhow::ensure!(
        status.is_success(),
        "{url}: {status} {}",
        answer.text().await?
    );
    Ok(())
}

/// Everything, as a file that `db_import` reads.
fn declarative(options: &ScaleArguments, upstream: SocketAddr) -> Value {
    let services: Vec<_> = (0..options.services)
        .map(|number| {
            json!({"name": format!("service-{number}"), "url": format!("http://{upstream}")})
        })
        .collect();
    let guarded = json!({
        "name": "guarded",
        "paths": [GUARDED],
        "service": "service-0",
        "plugins": [{ "name": "key-auth" }],
    });
    let routes: Vec<_> = (0..options.routes)
        .map(|number| {
            json!({
                "name": format!("route-{number}"),
                "paths": [format!("/route-{number}/")],
                "service": format!("service-{}", number % options.services.max(1)),
            })
        })
        .chain([guarded])
        .collect();
    let consumers: Vec<_> = (0..options.consumers)
        .map(|number| {
            json!({
                "username": format!("consumer-{number}"),
                "keyauth_credentials": [{"key": format!("key-{number}-of-a-consumer")}],
            })
        })
        .collect();
    json!({
        "_format_version": "3.0",
        "services": services,
        "routes": routes,
        "consumers": consumers,
    })
}
