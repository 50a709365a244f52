//! What each plugin adds to a request. One node has a route for each of them and one without any;
//! they are loaded in turns, so that nothing lies between two measurements but the plugin.

mod case;
mod credentials;
mod grpc;
mod instructions;
mod receivers;
mod time;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use self::case::Case;
use self::credentials::Credentials;
use self::receivers::Receivers;
use crate::connection::Transport;
use crate::load::Load;
use crate::peers::gateway;
use crate::process::Process;
use crate::{port, table, upstream, wait};

/// Options of `plugins`.
#[derive(Args)]
pub(crate) struct PluginsArguments {
    /// Measure only the plugins whose names contain one of these.
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    /// How often each plugin is measured.
    #[arg(long)]
    rounds: Option<usize>,
    /// How long one measurement takes, in seconds.
    #[arg(long)]
    seconds: Option<f64>,
    /// Consumers with a credential of every kind.
    #[arg(long)]
    consumers: Option<usize>,
    /// Count instructions with Valgrind in place of time: exact, also on a busy machine, but it
    /// sees neither the kernel nor caches.
    #[arg(long)]
    instructions: bool,
}

/// Measures every plugin and prints the table.
pub(crate) fn run(keelgate: &Path, options: &PluginsArguments, quick: bool) -> anyhow::Result<()> {
    let consumers = options.consumers.unwrap_or(match options.instructions {
        // Reading a configuration takes fifty times as long there.
        true => 1_000,
        false => 100_000,
    });
    let (rounds, seconds) = match (options.instructions, quick) {
        (true, _) => (1, 2.0),
        (false, true) => (3, 0.2),
        (false, false) => (11, 0.3),
    };
    let rounds = options.rounds.unwrap_or(rounds);
    let duration = Duration::from_secs_f64(options.seconds.unwrap_or(seconds));

    let directory = tempfile::tempdir()?;
    let receivers = Receivers::open(directory.path(), upstream::start()?)?;
    let credentials = Credentials::make(consumers);
    let mut cases = case::all(&receivers, &credentials)?;
    if !options.only.is_empty() {
        cases.retain(|case| {
            case.is_base || options.only.iter().any(|text| case.name.contains(text))
        });
    }
    let config = declarative(&cases, &receivers, &credentials);
    let port = port::free()?;
    let listen = gateway::Listen {
        port,
        workers: if options.instructions { 1 } else { 2 },
        tls: None,
    };
    let environment = gateway::settings(directory.path(), &listen, &config)?;
    let mut command = match options.instructions {
        true => instructions::command(directory.path(), keelgate),
        false => Command::new(keelgate),
    };
    command.args(["start", "--foreground"]).envs(environment);
    let log = directory.path().join("log");
    let node = Node {
        process: Process::start(&mut command, &log)?,
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
    };
    node.wait_until_up(&log, &cases[0])?;
    for case in &mut cases {
        case.log_in(node.address)?;
    }
    let measure = |load: &Load| match options.instructions {
        true => instructions::per_request(&node.process, directory.path(), load, duration),
        false => time::per_request(&node.process, load, duration),
    };
    let measured = measured(&node, &cases, rounds, measure)?;
    let (unit, digits) = match options.instructions {
        true => ("instructions", 0),
        false => ("us", 2),
    };
    let title = format!(
        "A request and what is added to it, GET 1 KiB; {consumers} consumers, median of {rounds} \
         rounds of {} s, {unit}",
        duration.as_secs_f64(),
    );
    print(&title, digits, &measured);
    Ok(())
}

/// The node under test.
struct Node {
    process: Process,
    address: SocketAddr,
}

impl Node {
    fn wait_until_up(&self, log: &Path, case: &Case) -> anyhow::Result<()> {
        let url = format!("http://{}{}", self.address, case.target());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(wait::until(&self.process, log, &url, |status, _| {
            status == 200
        }))
    }

    fn load(&self, case: &Case) -> Load {
        Load {
            address: self.address,
            transport: Transport::Clear,
            requests: case.requests.clone(),
            senders: 32,
            connect: false,
            apart: false,
        }
    }
}

/// What a request costs.
struct Cost {
    /// On the threads that serve.
    serving: f64,
    /// On others: what is told to somebody is sent beside.
    beside: f64,
}

/// What a case showed: itself, and the case that it is compared with, a value per round.
struct Measured<'a> {
    case: &'a Case,
    with: Vec<Cost>,
    without: Vec<Cost>,
}

impl Measured<'_> {
    /// What the plugin adds, in order.
    fn added(&self, part: impl Fn(&Cost) -> f64) -> Vec<f64> {
        let pairs = self.with.iter().zip(&self.without);
        let mut added: Vec<f64> = pairs
            .map(|(with, without)| part(with) - part(without))
            .collect();
        added.sort_by(f64::total_cmp);
        added
    }
}

/// Loads each case right after the one it is compared with.
fn measured<'a>(
    node: &Node,
    cases: &'a [Case],
    rounds: usize,
    measure: impl Fn(&Load) -> anyhow::Result<Cost>,
) -> anyhow::Result<Vec<Measured<'a>>> {
    let mut all: Vec<Measured<'a>> = cases
        .iter()
        .filter(|case| case.base.is_some())
        .map(|case| Measured {
            case,
            with: Vec::new(),
            without: Vec::new(),
        })
        .collect();
    for _ in 0..rounds {
        for measured in &mut all {
            let base = cases
                .iter()
                .find(|case| Some(case.name) == measured.case.base);
            if let Some(base) = base {
                measured.without.push(measure(&node.load(base))?);
            }
            measured.with.push(measure(&node.load(measured.case))?);
        }
    }
    Ok(all)
}

fn print(title: &str, digits: usize, all: &[Measured<'_>]) {
    let number = |value: f64| format!("{value:.digits$}");
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|one| {
            let added = one.added(|cost| cost.serving);
            let quarter = added.len() / 4;
            let without: Vec<f64> = one.without.iter().map(|cost| cost.serving).collect();
            vec![
                one.case.name.to_owned(),
                one.case.base.unwrap_or_default().to_owned(),
                number(table::median(&without)),
                number(table::median(&added)),
                format!(
                    "{} to {}",
                    number(added[quarter]),
                    number(added[added.len() - 1 - quarter])
                ),
                number(table::median(&one.added(|cost| cost.beside))),
            ]
        })
        .collect();
    let header = ["plugin", "to", "without", "added", "middle half", "beside"];
    table::print(title, &header, &rows);
}

/// A route for each case, and everybody who may call.
fn declarative(cases: &[Case], receivers: &Receivers, credentials: &Credentials) -> Value {
    let routes = |calls: bool| -> Vec<Value> {
        let cases = cases.iter().filter(|case| case.calls == calls);
        let route = |case: &Case| {
            json!({
                "name": case.path,
                "paths": [format!("/{}/", case.path)],
                "plugins": case.plugins,
            })
        };
        cases.map(route).collect()
    };
    let url = format!("http://{}", receivers.upstream);
    json!({
        "_format_version": "3.0",
        "services": [
            {"name": "upstream", "url": url, "routes": routes(false)},
            {
                "name": "service", "protocol": "grpc", "host": receivers.grpc.ip(),
                "port": receivers.grpc.port(), "routes": routes(true),
            },
        ],
        "consumers": credentials.consumers(),
        "oauth2_tokens": credentials.tokens(),
    })
}
