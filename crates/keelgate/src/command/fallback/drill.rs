//! `keelgate fallback drill`: a data plane is born without its control plane, from the real storage.

mod node;
mod routes;

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use super::access::{Access, Options, wait_for};
use super::locate;
use super::output::{self, BAD, GOOD, Output};
use node::Node;

/// A path that no route is likely to have: that the proxy answers is enough.
const ANYTHING: &str = "/.keelgate-drill";

/// Options of `keelgate fallback drill`.
#[derive(Args, Debug)]
pub(crate) struct DrillArgs {
    #[command(flatten)]
    options: Options,
    /// How the control plane is away.
    #[arg(long, value_enum, default_value_t = Outage::Silent)]
    outage: Outage,
    /// Most seconds until the data plane is ready.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    within: u64,
    /// Also send a GET to this many routes of the snapshot: each must lead to an upstream that
    /// answers.
    #[arg(long, value_name = "N", default_value_t = 0)]
    routes: usize,
    /// A GET to send through the data plane once it is ready; may be given several times.
    #[arg(long, value_name = "PATH")]
    request: Vec<String>,
    /// Host of these requests.
    #[arg(long, requires = "request")]
    host: Option<String>,
    /// Status that they must be answered with.
    #[arg(
        long,
        value_name = "STATUS",
        default_value_t = 200,
        requires = "request"
    )]
    expect: u16,
}

/// How a control plane is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outage {
    /// It takes connections and never answers: the data plane waits for cluster_connect_deadline.
    Silent,
    /// Nobody listens: the data plane knows at once.
    Refused,
}

/// What the drill showed.
#[derive(Serialize)]
struct Report {
    verdict: &'static str,
    outage: Outage,
    /// Seconds from the start of the process until it served.
    time_to_ready: f64,
    source: String,
    origin: Option<String>,
    identity: Option<String>,
    /// Seconds since the snapshot was made.
    age: Option<f64>,
    requests: Vec<Sent>,
    /// Why the verdict is what it is.
    failures: Vec<String>,
}

/// A request that was sent.
#[derive(Serialize)]
struct Sent {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    /// Nothing when there was no answer.
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Whether the gateway had no route for it.
    misses: bool,
    milliseconds: f64,
}

/// Runs the drill. Fails when the data plane did not get ready, served from anything but the
/// storage, or did not answer as expected.
pub(crate) fn run(arguments: &DrillArgs) -> Result<()> {
    let access = arguments.options.open()?;
    access.cluster()?;
    let report = wait_for(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        // What is dropped when a signal wins kills the process and removes its directory.
        tokio::select! {
            report = drill(&access, arguments) => report,
            _ = interrupt.recv() => bail!("interrupted; the data plane was ended and its directory removed"),
            _ = terminate.recv() => bail!("told to end; the data plane was ended and its directory removed"),
        }
    })?;
    match arguments.options.output {
        Output::Json => output::json(&report)?,
        Output::Text => print(&report),
    }
    if !report.failures.is_empty() {
        bail!("the drill failed: {}", report.failures.join("; "));
    }
    Ok(())
}

async fn drill(access: &Access, arguments: &DrillArgs) -> Result<Report> {
    let bar = output::progress("starting a data plane without its control plane");
    let conf = arguments.options.sources.conf.as_deref();
    let mut node = Node::start(&access.settings, conf, arguments.outage)?;
    let ready = node.ready(Duration::from_secs(arguments.within)).await;
    let outcome = match ready {
        Ok(ready) => {
            bar.set_message("sending requests");
            look(access, &node, arguments, ready).await
        }
        Err(error) => Err(error),
    };
    bar.set_message("ending the data plane");
    node.end().await;
    bar.finish_and_clear();
    outcome.context("the drill failed")
}

/// What the node serves, and how it answers.
async fn look(
    access: &Access,
    node: &Node,
    arguments: &DrillArgs,
    ready: Duration,
) -> Result<Report> {
    let source = node.source().await?;
    let serving = &source["serving"];
    let mut failures = Vec::new();
    let name = serving["source"].as_str().unwrap_or("nothing").to_owned();
    if name != "storage" {
        failures.push(format!("it serves from {name}, not from the storage"));
    }
    let mut requests = vec![send(node, ANYTHING, None).await];
    if requests[0].status.is_none() {
        failures.push("the proxy does not answer".to_owned());
    }
    for path in &arguments.request {
        let sent = send(node, path, arguments.host.as_deref()).await;
        if sent.status != Some(arguments.expect) {
            let (got, expected) = (sent.answer(), arguments.expect);
            failures.push(format!("{path}: {got}, expected {expected}"));
        }
        requests.push(sent);
    }
    if arguments.routes > 0 {
        let chosen = locate::chosen(access).await?;
        for target in routes::targets(chosen.snapshot.config_json(), arguments.routes)? {
            let sent = send(node, &target.path, target.host.as_deref()).await;
            if sent.misses || sent.status.is_none_or(|status| status >= 500) {
                let host = target.host.as_deref().unwrap_or("any host");
                failures.push(format!("{} of {host}: {}", target.path, sent.answer()));
            }
            requests.push(sent);
        }
    }
    Ok(Report {
        verdict: match failures.is_empty() {
            true => "passed",
            false => "failed",
        },
        outage: arguments.outage,
        time_to_ready: ready.as_millis() as f64 / 1000.0,
        source: name,
        origin: serving["origin"].as_str().map(str::to_owned),
        identity: identity(&serving["identity"]),
        age: serving["created_at"].as_f64().map(age),
        requests,
        failures,
    })
}

async fn send(node: &Node, path: &str, host: Option<&str>) -> Sent {
    let start = Instant::now();
    let answer = node.request(path, host).await;
    Sent {
        path: path.to_owned(),
        host: host.map(str::to_owned),
        milliseconds: (start.elapsed().as_secs_f64() * 1e5).round() / 100.0,
        error: answer.as_ref().err().map(|error| format!("{error:#}")),
        misses: answer.as_ref().is_ok_and(|answer| answer.misses),
        status: answer.ok().map(|answer| answer.status),
    }
}

impl Sent {
    /// The status, or why there is none.
    fn answer(&self) -> String {
        match (self.status, &self.error) {
            (Some(status), _) if self.misses => format!("{status} (no route)"),
            (Some(status), _) => status.to_string(),
            (None, Some(error)) => format!("no answer ({error})"),
            (None, None) => "no answer".to_owned(),
        }
    }
}

fn identity(value: &Value) -> Option<String> {
    let hash = value["sha256"].as_str()?.get(..12)?;
    Some(format!("{}-{}-{hash}", value["epoch"], value["revision"]))
}

/// Seconds since a point given in seconds since 1970.
fn age(at: f64) -> f64 {
    let now = output::seconds(SystemTime::now());
    ((now - at).max(0.0) * 1000.0).round() / 1000.0
}

fn print(report: &Report) {
    let outage = match report.outage {
        Outage::Silent => "the control plane takes connections and never answers",
        Outage::Refused => "the control plane refuses connections",
    };
    output::line("outage", outage);
    output::line("ready after", format!("{:.2} s", report.time_to_ready));
    let origin = report.origin.as_deref().unwrap_or("unknown");
    output::line("source", format!("{} ({origin})", report.source));
    if let Some(identity) = &report.identity {
        let age = Duration::from_secs_f64(report.age.unwrap_or_default());
        output::line(
            "snapshot",
            format!("{identity}, made {} ago", output::span(age)),
        );
    }
    for sent in &report.requests {
        let (answer, took) = (sent.answer(), sent.milliseconds);
        output::line(
            "request",
            format!("GET {}: {answer} in {took} ms", sent.path),
        );
    }
    let verdict = match report.failures.is_empty() {
        true => format!("{GOOD}passed{GOOD:#}: a data plane is born without its control plane"),
        false => format!("{BAD}failed{BAD:#}"),
    };
    output::line("verdict", verdict);
}
