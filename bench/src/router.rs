//! Matching: nanoseconds per request, compile time and memory by the size of the table.
//!
//! Each cell is measured in a process of its own, so that memory is the table's.

use std::hint::black_box;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::{Args, ValueEnum};
use keelgate_entities::RouterFlavor;
use keelgate_entities::kinds::{Protocol, Route};
use keelgate_router::{Facts, Headers, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::table::{self, median};

/// Requests timed together: enough to hide the clock, few enough to stay in the nearest cache, where
/// a request that was just read lies as well.
const BATCH: usize = 32;

/// Routes to a host in tables that have hosts.
const PATHS_PER_HOST: usize = 10;

/// The largest table of headers: a request may have to try every route of it.
const MOST_HEADERS: usize = 10_000;

/// Options of `router`.
#[derive(Args)]
pub(crate) struct RouterArguments {
    /// How many routes the tables have.
    #[arg(long, value_delimiter = ',', default_value = "1,100,10000,100000")]
    routes: Vec<usize>,
    /// Only these tables.
    #[arg(long, value_delimiter = ',', value_enum)]
    tables: Vec<Table>,
    /// Only these flavours.
    #[arg(long, value_delimiter = ',', value_enum)]
    flavors: Vec<Flavor>,
    /// Measures one cell and prints it: what the processes that this starts are told.
    #[arg(long, hide = true)]
    cell: bool,
}

/// What the routes of a table look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Table {
    /// A host and a path prefix.
    HostPath,
    /// A path prefix.
    Path,
    /// A wildcard host and a path prefix.
    Wildcard,
    /// A regular expression with a capture, as path.
    Regex,
    /// A header, and the same path for all.
    Header,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Flavor {
    TraditionalCompatible,
    Traditional,
    Expressions,
}

/// What a cell showed.
#[derive(Serialize, Deserialize)]
struct Figures {
    /// Nanoseconds per match: a value per round.
    nanoseconds: Vec<f64>,
    /// Seconds to compile.
    compile: f64,
    /// Bytes that compiling left behind.
    table: u64,
    /// The most that the process had, with the routes that it compiled.
    peak: u64,
}

/// Measures every table and flavour at every size.
pub(crate) fn run(options: &RouterArguments, quick: bool) -> anyhow::Result<()> {
    let rounds = if quick { 3 } else { 11 };
    let chosen = |all: &[Table]| match options.tables.as_slice() {
        [] => all.to_vec(),
        some => some.to_vec(),
    };
    let flavors = match options.flavors.as_slice() {
        [] => Flavor::value_variants(),
        some => some,
    };
    if options.cell {
        let (table, flavor) = (chosen(&[])[0], flavors[0]);
        let figures = measure(table, flavor, options.routes[0], rounds)?;
        say(&serde_json::to_string(&figures)?);
        return Ok(());
    }
    let mut rows = Vec::new();
    for &flavor in flavors {
        for table in chosen(Table::value_variants()) {
            let mut one = None;
            let most = if table == Table::Header {
                MOST_HEADERS
            } else {
                usize::MAX
            };
            for &routes in options.routes.iter().filter(|&&routes| routes <= most) {
                let figures = in_a_process(table, flavor, routes, quick)
                    .with_context(|| format!("{table:?}, {flavor:?}, {routes} routes"))?;
                let time = median(&figures.nanoseconds);
                let base = *one.get_or_insert(time);
                rows.push(vec![
                    name(&flavor),
                    name(&table),
                    routes.to_string(),
                    format!("{time:.0}"),
                    format!("{:.2}", time / base),
                    format!("{:.0}", figures.compile * 1e3),
                    format!("{:.1}", figures.table as f64 / 1048576.0),
                    format!("{:.0}", figures.peak as f64 / 1048576.0),
                ]);
            }
        }
    }
    let header = [
        "flavour",
        "table",
        "routes",
        "ns per match",
        "ratio",
        "compile ms",
        "left by compiling MiB",
        "peak RSS MiB",
    ];
    table::print("Matching, requests spread evenly", &header, &rows);
    Ok(())
}

fn in_a_process(
    table: Table,
    flavor: Flavor,
    routes: usize,
    quick: bool,
) -> anyhow::Result<Figures> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["router", "--cell", "--tables", &name(&table)]);
    command.args(["--flavors", &name(&flavor), "--routes", &routes.to_string()]);
    if quick {
        command.arg("--quick");
    }
    let output = command.output()?;
    anyhow::ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn measure(table: Table, flavor: Flavor, count: usize, rounds: usize) -> anyhow::Result<Figures> {
    let routes = (0..count)
        .map(|number| table.route(number, flavor))
        .collect::<anyhow::Result<Vec<Route>>>()?;
    let before = memory("VmRSS:")?;
    let start = Instant::now();
    let router = Router::compile(&routes, flavor.router())?;
    let compile = start.elapsed().as_secs_f64();
    let table_bytes = memory("VmRSS:")?.saturating_sub(before);

    // Regular expressions beyond the first thousand compile at their first match. A table that is
    // searched from end to end would take hours to try whole.
    let tried = if table == Table::Header { 100 } else { 1 };
    for number in (0..count).step_by(tried) {
        let found = table.request(number).ask(|facts| router.find(facts));
        anyhow::ensure!(
            found.is_some_and(|found| found.route == number),
            "request {number} does not find its route"
        );
    }
    let round = Duration::from_millis(if count > 1000 { 400 } else { 200 });
    let nanoseconds = (0..rounds)
        .map(|_| one_round(&router, table, count, round))
        .collect();
    Ok(Figures {
        nanoseconds,
        compile,
        table: table_bytes,
        peak: memory("VmHWM:")?,
    })
}

/// Nanoseconds per match, requests drawn evenly. They are made when they are drawn: a list of them
/// would fill the caches that the table needs.
fn one_round(router: &Router, table: Table, count: usize, duration: Duration) -> f64 {
    let end = Instant::now() + duration;
    let mut spent = Duration::ZERO;
    let mut matches = 0_u32;
    while Instant::now() < end {
        let drawn: Vec<Request> = (0..BATCH)
            .map(|_| table.request(fastrand::usize(..count)))
            .collect();
        let start = Instant::now();
        for request in &drawn {
            request.ask(|facts| black_box(router.find(black_box(facts))));
        }
        spent += start.elapsed();
        matches += BATCH as u32;
    }
    spent.as_secs_f64() * 1e9 / f64::from(matches)
}

struct Request {
    host: String,
    path: String,
    header: String,
}

impl Request {
    fn ask<T>(&self, answer: impl FnOnce(&Facts<'_>) -> T) -> T {
        let address = SocketAddr::from(([127, 0, 0, 1], 8000));
        answer(&Facts {
            protocol: Protocol::Http,
            method: "GET",
            authority: &self.host,
            host: &self.host,
            port: 8000,
            path: &self.path,
            query: None,
            headers: &Tenant(&self.header),
            sni: None,
            source: address,
            destination: address,
        })
    }
}

/// A request's headers: the one that tables look at.
struct Tenant<'a>(&'a str);

impl Headers for Tenant<'_> {
    fn any(&self, name: &str, visit: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        name == "x-tenant" && visit(self.0.as_bytes())
    }
}

impl Table {
    /// Route `number`; it has the id that this number makes.
    fn route(self, number: usize, flavor: Flavor) -> anyhow::Result<Route> {
        let (host, path) = (number / PATHS_PER_HOST, number % PATHS_PER_HOST);
        let attributes = match flavor {
            Flavor::TraditionalCompatible | Flavor::Traditional => match self {
                Self::HostPath => json!({
                    "hosts": [format!("tenant-{host}.example.com")],
                    "paths": [format!("/service-{path}/v1")],
                }),
                Self::Path => json!({ "paths": [format!("/route-{number}/")] }),
                Self::Wildcard => json!({
                    "hosts": [format!("*.tenant-{host}.example.com")],
                    "paths": [format!("/service-{path}/v1")],
                }),
                Self::Regex => json!({ "paths": [format!("~/route-{number}/(?<id>[0-9]+)$")] }),
                Self::Header => json!({
                    "paths": ["/"],
                    "headers": { "x-tenant": [format!("tenant-{number}")] },
                }),
            },
            Flavor::Expressions => {
                let text = match self {
                    Self::HostPath => format!(
                        r#"http.host == "tenant-{host}.example.com" && http.path ^= "/service-{path}/v1""#
                    ),
                    Self::Path => format!(r#"http.path ^= "/route-{number}/""#),
                    Self::Wildcard => format!(
                        r#"http.host =^ ".tenant-{host}.example.com" && http.path ^= "/service-{path}/v1""#
                    ),
                    Self::Regex => {
                        format!(r##"http.path ~ r#"^/route-{number}/(?<id>[0-9]+)$"#"##)
                    }
                    Self::Header => {
                        format!(r#"http.path ^= "/" && http.headers.x_tenant == "tenant-{number}""#)
                    }
                };
                json!({ "expression": text, "priority": 0 })
            }
        };
        let mut route = json!({
            "id": Uuid::from_u128(number as u128 + 1),
            "name": format!("route-{number}"),
            "protocols": ["http", "https"],
        });
        if let (Value::Object(route), Value::Object(attributes)) = (&mut route, attributes) {
            route.extend(attributes);
        }
        Ok(serde_json::from_value(route)?)
    }

    /// A request that only route `number` matches.
    fn request(self, number: usize) -> Request {
        let (host, path) = (number / PATHS_PER_HOST, number % PATHS_PER_HOST);
        let (host, path) = match self {
            Self::HostPath => (
                format!("tenant-{host}.example.com"),
                format!("/service-{path}/v1/orders/4711"),
            ),
            Self::Wildcard => (
                format!("eu.tenant-{host}.example.com"),
                format!("/service-{path}/v1/orders/4711"),
            ),
            Self::Path => ("example.com".into(), format!("/route-{number}/orders/4711")),
            Self::Regex => ("example.com".into(), format!("/route-{number}/4711")),
            Self::Header => ("example.com".into(), "/orders/4711".into()),
        };
        Request {
            host,
            path,
            header: format!("tenant-{number}"),
        }
    }
}

impl Flavor {
    fn router(self) -> RouterFlavor {
        match self {
            Self::TraditionalCompatible => RouterFlavor::TraditionalCompatible,
            Self::Traditional => RouterFlavor::Traditional,
            Self::Expressions => RouterFlavor::Expressions,
        }
    }
}

/// A line of `/proc/self/status` that counts kilobytes, in bytes.
fn memory(line: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let kilobytes = status
        .lines()
        .find_map(|own| own.strip_prefix(line)?.trim().strip_suffix("kB"))
        .context("the kernel tells no memory")?;
    Ok(kilobytes.trim().parse::<u64>()? * 1024)
}

fn name(value: &impl ValueEnum) -> String {
    value
        .to_possible_value()
        .map(|value| value.get_name().to_owned())
        .unwrap_or_default()
}

#[expect(
    clippy::print_stdout,
    reason = "the parent process reads what is printed"
)]
fn say(text: &str) {
    println!("{text}");
}
