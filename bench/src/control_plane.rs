//! A control plane that feeds prepared snapshots: the real end of the connection, without a database
//! and its work beside the data plane that is measured.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use keelgate_entities::{KONG_API_VERSION, Schemas, declarative};
use keelgate_runtime::scheduling::run_when_idle;
use keelgate_snapshot::{Position, Signer, Snapshot};
use keelgate_sync::{DataPlanes, Server, ServerConfig, ServerLimits, Trust};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How long data planes that are gone stay listed.
const MEMORY: Duration = Duration::from_secs(600);

/// Snapshots of one cluster, each a change of one route on the one before.
pub(crate) struct Changes {
    cert: String,
    key: String,
    snapshots: Vec<Snapshot>,
}

/// A control plane that runs. Ends when dropped.
pub(crate) struct ControlPlane {
    pub(crate) address: SocketAddr,
    newest: watch::Sender<Option<Snapshot>>,
    stop: CancellationToken,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Changes {
    /// Makes `count` snapshots of a configuration with this many routes to one upstream.
    pub(crate) fn prepare(
        certificate: &Path,
        key: &Path,
        upstream: SocketAddr,
        routes: usize,
        count: usize,
    ) -> anyhow::Result<Self> {
        let (cert, key) = (
            std::fs::read_to_string(certificate)?,
            std::fs::read_to_string(key)?,
        );
        let signer = Signer::from_pem(&cert, &key)?;
        let mut tables = tables(upstream, routes)?;
        let cluster_id = uuid::Uuid::new_v4();
        let mut snapshots = Vec::with_capacity(count);
        for number in 0..count {
            if let Some(route) = tables["routes"].get_mut(number % routes.saturating_sub(1).max(1))
            {
                route["paths"] = json!([format!("/changed-{number}/")]);
            }
            let position = Position {
                cluster_id,
                epoch: 1,
                revision: number as u64 + 1,
            };
            let version = env!("CARGO_PKG_VERSION");
            let snapshot = keelgate_snapshot::build(
                &tables,
                position,
                version,
                SystemTime::now(),
                Some(&signer),
            )?;
            snapshots.push(snapshot);
        }
        Ok(Self {
            cert,
            key,
            snapshots,
        })
    }

    /// The size of one snapshot in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.snapshots
            .first()
            .map_or(0, |snapshot| snapshot.document().len())
    }

    /// Starts a control plane that has the first of them.
    pub(crate) fn start(&self) -> anyhow::Result<ControlPlane> {
        let config = ServerConfig {
            cert_pem: self.cert.clone(),
            key_pem: self.key.clone(),
            trust: Trust::Shared,
            kong_version: KONG_API_VERSION.to_owned(),
            plugins: Vec::new(),
            limits: ServerLimits::default(),
        };
        let server = Server::new(config, DataPlanes::new(MEMORY))?;
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (newest, snapshots) = watch::channel(self.snapshots.first().cloned());
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .on_thread_start(run_when_idle)
            .build()?;
        let thread = std::thread::spawn(move || {
            run_when_idle();
            runtime.block_on(async {
                if let Ok(listener) = TcpListener::from_std(listener) {
                    server.run(vec![listener], snapshots, stopped).await;
                }
            });
        });
        Ok(ControlPlane {
            address,
            newest,
            stop,
            thread: Some(thread),
        })
    }

    /// Shows a change, by its number, to the data planes of a control plane.
    pub(crate) fn show(&self, control_plane: &ControlPlane, change: usize) {
        control_plane
            .newest
            .send_replace(self.snapshots.get(change).cloned());
    }

    /// Shows the next change to data planes every `interval`, until `stop`. Returns how many.
    pub(crate) async fn feed(
        &self,
        control_plane: &ControlPlane,
        interval: Duration,
        stop: CancellationToken,
    ) -> usize {
        let mut clock = tokio::time::interval(interval);
        let mut fed = 0;
        for snapshot in self.snapshots.iter().skip(1) {
            tokio::select! {
                _ = clock.tick() => {}
                () = stop.cancelled() => break,
            }
            control_plane.newest.send_replace(Some(snapshot.clone()));
            fed += 1;
        }
        fed
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The entities as a control plane keeps them: complete, a hundred routes to a service.
fn tables(upstream: SocketAddr, routes: usize) -> anyhow::Result<Value> {
    let route = |number: usize| {
        json!({
            "name": format!("route-{number}"),
            "paths": [format!("/route-{number}/")],
            "methods": ["GET", "POST"],
            "tags": ["bench"],
        })
    };
    let services: Vec<Value> = (0..routes.div_ceil(100))
        .map(|service| {
            let first = service * 100;
            let own: Vec<Value> = (first..routes.min(first + 100)).map(route).collect();
            json!({
                "name": format!("service-{service}"),
                "url": format!("http://{upstream}"),
                "routes": own,
            })
        })
        .collect();
    let document = json!({ "_format_version": "3.0", "services": services });
    let schemas = Schemas::new(Vec::new());
    let table = declarative::parse(document, &schemas, SystemTime::now())
        .map_err(|refused| anyhow::anyhow!("{}", refused.error))
        .context("the configuration of the benchmark is wrong")?;
    Ok(Value::Object(table.into_config_table()))
}
