//! The plain proxy: CPU per request, latency at a fixed rate, memory.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;

use crate::load::Load;
use crate::peers::{self, Peer, Setting};
use crate::table::{self, median};
use crate::{port, upstream};

/// Open connections while CPU per request is measured.
const CONNECTIONS: usize = 64;
/// Requests per second while latency is measured: well below what two shared cores carry.
const RATE: f64 = 4_000.0;

struct Scenario {
    name: &'static str,
    tls: bool,
    request: Arc<[u8]>,
}

/// What one peer showed in one scenario, a value per round.
#[derive(Default)]
struct Figures {
    cpu: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    idle: f64,
    loaded: f64,
}

/// Measures every peer in turn, several rounds over, and prints one table per scenario.
pub(crate) fn run(keelgate: &Path, quick: bool) -> anyhow::Result<()> {
    let (rounds, seconds) = if quick { (2, 2) } else { (5, 5) };
    let duration = Duration::from_secs(seconds);
    let directory = tempfile::tempdir()?;
    let upstream = upstream::start()?;
    let identity = Identity::make(directory.path())?;
    let (peers, missing) = peers::all(keelgate);
    for scenario in scenarios() {
        let mut figures: Vec<Figures> = peers.iter().map(|_| Figures::default()).collect();
        for round in 0..rounds {
            for (peer, figures) in peers.iter().zip(&mut figures) {
                let own = directory.path().join(format!(
                    "{}-{}-{round}",
                    peer.name,
                    scenario.name.replace(' ', "-")
                ));
                std::fs::create_dir(&own)?;
                measure(
                    peer, &scenario, &own, upstream, &identity, duration, figures,
                )
                .with_context(|| {
                    format!(
                        "{} in \"{}\" (log in {})",
                        peer.name,
                        scenario.name,
                        own.display()
                    )
                })?;
            }
        }
        print(&scenario, &peers, &figures);
    }
    if !missing.is_empty() {
        note(&format!(
            "not installed, so not measured: {} (see bench/README.md)",
            missing.join(", ")
        ));
    }
    Ok(())
}

fn scenarios() -> Vec<Scenario> {
    let get = |path: &str| {
        format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"
        )
    };
    let body = "x".repeat(4096);
    let post = format!(
        "POST /post HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 4096\r\n\r\n{body}"
    );
    let scenario = |name, tls, request: String| Scenario {
        name,
        tls,
        request: request.into_bytes().into(),
    };
    vec![
        scenario("GET 1 KiB", false, get("/1024")),
        scenario("GET 64 KiB", false, get("/65536")),
        scenario("POST 4 KiB", false, post),
        scenario("TLS 1.3 GET 1 KiB", true, get("/1024")),
    ]
}

fn measure(
    peer: &Peer,
    scenario: &Scenario,
    directory: &Path,
    upstream: SocketAddr,
    identity: &Identity,
    duration: Duration,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let (port, tls_port) = (port::free()?, port::free()?);
    let setting = Setting {
        directory,
        upstream,
        port,
        tls_port,
        certificate: &identity.certificate,
        key: &identity.key,
    };
    let process = peer.start(&setting)?;
    let address = SocketAddr::from((
        Ipv4Addr::LOCALHOST,
        if scenario.tls { tls_port } else { port },
    ));
    let load = Load {
        address,
        tls: scenario.tls.then(|| identity.client.clone()),
        request: scenario.request.clone(),
        connections: CONNECTIONS,
    };
    wait_until_up(&load)?;
    figures.idle = process.usage()?.memory as f64;
    load.run(duration / 4, None).context("warm-up")?;
    let before = process.usage()?.cpu;
    let outcome = load.run(duration, None)?;
    let after = process.usage()?;
    figures
        .cpu
        .push((after.cpu - before).as_secs_f64() * 1e6 / outcome.requests as f64);
    figures.loaded = after.memory as f64;
    let paced = load.run(duration, Some(RATE))?;
    figures
        .p50
        .push(paced.latency.value_at_quantile(0.5) as f64);
    figures
        .p99
        .push(paced.latency.value_at_quantile(0.99) as f64);
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark waits for another process"
)]
fn wait_until_up(load: &Load) -> anyhow::Result<()> {
    let one = Load {
        connections: 1,
        ..load.clone()
    };
    let start = Instant::now();
    loop {
        match one.run(Duration::from_millis(1), None) {
            Ok(_) => return Ok(()),
            Err(error) if start.elapsed() > Duration::from_secs(20) => {
                return Err(error.context("it never came up"));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

fn print(scenario: &Scenario, peers: &[Peer], figures: &[Figures]) {
    let base = median(&figures[0].cpu);
    let rows: Vec<Vec<String>> = peers
        .iter()
        .zip(figures)
        .map(|(peer, figures)| {
            let cpu = median(&figures.cpu);
            vec![
                peer.name.to_owned(),
                format!("{cpu:.1}"),
                format!("{:.2}", cpu / base),
                format!("{:.0}", median(&figures.p50)),
                format!("{:.0}", median(&figures.p99)),
                format!("{:.1}", figures.idle / 1048576.0),
                format!("{:.1}", figures.loaded / 1048576.0),
            ]
        })
        .collect();
    let header = [
        "peer",
        "CPU us/request",
        "ratio to keelgate",
        "p50 us",
        "p99 us",
        "RSS idle MiB",
        "RSS loaded MiB",
    ];
    table::print(
        &format!(
            "{} ({CONNECTIONS} connections; latency at {RATE:.0}/s)",
            scenario.name
        ),
        &header,
        &rows,
    );
}

#[expect(
    clippy::print_stdout,
    reason = "the report is the product of this program"
)]
fn note(text: &str) {
    println!("\n{text}");
}

/// A server certificate for `localhost`, and a client that trusts it.
struct Identity {
    certificate: PathBuf,
    key: PathBuf,
    client: Arc<ClientConfig>,
}

impl Identity {
    fn make(directory: &Path) -> anyhow::Result<Self> {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
        let (certificate, key) = (directory.join("server.crt"), directory.join("server.key"));
        std::fs::write(&certificate, made.cert.pem())?;
        std::fs::write(&key, made.signing_key.serialize_pem())?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(made.cert.der().to_vec()))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            certificate,
            key,
            client: Arc::new(client),
        })
    }
}
