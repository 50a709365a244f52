//! One peer in one scenario, once.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::scenario::Scenario;
use crate::identity::Identity;
use crate::load::Load;
use crate::peers::{Peer, Setting};
use crate::port;

/// What all measurements have in common.
pub(crate) struct Bench<'a> {
    pub(crate) directory: &'a Path,
    pub(crate) upstream: SocketAddr,
    pub(crate) identity: &'a Identity,
    pub(crate) duration: Duration,
}

/// What one peer showed in one scenario, a value per round.
#[derive(Default)]
pub(crate) struct Figures {
    /// Microseconds per request.
    pub(crate) cpu: Vec<f64>,
    /// Microseconds.
    pub(crate) p50: Vec<f64>,
    pub(crate) p99: Vec<f64>,
    pub(crate) p999: Vec<f64>,
    /// Bytes.
    pub(crate) idle: Vec<f64>,
    pub(crate) loaded: Vec<f64>,
}

impl Bench<'_> {
    /// Starts the peer, loads it, and adds what it showed.
    pub(crate) fn measure(
        &self,
        peer: &Peer,
        scenario: &Scenario,
        figures: &mut Figures,
    ) -> anyhow::Result<()> {
        let (process, load) = self.start(peer, scenario)?;
        figures.idle.push(process.usage()?.memory as f64);
        load.run(self.duration / 4, None).context("warm-up")?;

        let before = process.usage()?.cpu;
        let outcome = load.run(self.duration, None)?;
        let after = process.usage()?;
        let cpu = (after.cpu - before).as_secs_f64() * 1e6;
        figures.cpu.push(cpu / outcome.requests as f64);
        figures.loaded.push(after.memory as f64);

        let paced = load.run(self.duration, Some(scenario.rate))?;
        let at = |quantile| paced.latency.value_at_quantile(quantile) as f64;
        figures.p50.push(at(0.5));
        figures.p99.push(at(0.99));
        figures.p999.push(at(0.999));
        Ok(())
    }

    /// Starts the peer and waits until it answers.
    pub(crate) fn start(
        &self,
        peer: &Peer,
        scenario: &Scenario,
    ) -> anyhow::Result<(crate::process::Process, Load)> {
        let own = tempfile::Builder::new()
            .prefix(peer.name)
            .tempdir_in(self.directory)?
            .keep();
        let (port, tls_port) = (port::free()?, port::free()?);
        let process = peer.start(&Setting {
            directory: &own,
            upstream: self.upstream,
            port,
            tls_port,
            certificate: &self.identity.certificate,
            key: &self.identity.key,
            policy: &scenario.policy,
        })?;
        let port = if scenario.tls { tls_port } else { port };
        let load = Load {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            transport: scenario.transport.clone(),
            requests: scenario.requests.clone(),
            senders: scenario.senders,
            connect: scenario.connect,
            apart: false,
        };
        wait_until_up(&load).with_context(|| {
            format!(
                "{} in \"{}\" (log in {})",
                peer.name,
                scenario.name,
                own.display()
            )
        })?;
        Ok((process, load))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark waits for another process"
)]
fn wait_until_up(load: &Load) -> anyhow::Result<()> {
    let one = Load {
        senders: 1,
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
