//! A data plane that proxies while its configuration changes.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::ensure;
use tempfile::TempDir;

use crate::connection::Transport;
use crate::control_plane::{Changes, ControlPlane};
use crate::load::Load;
use crate::process::Process;
use crate::request::Request;
use crate::{cores, port, upstream, wait};

/// Connections of the generator.
const CONNECTIONS: usize = 32;

/// What the data planes of one run share.
pub(crate) struct Cluster<'a> {
    keelgate: &'a Path,
    directory: TempDir,
    routes: usize,
    pub(crate) changes: Changes,
}

/// A data plane that serves, with a control plane of its own.
pub(crate) struct DataPlane {
    pub(crate) control_plane: ControlPlane,
    pub(crate) process: Process,
    /// Requests to the last route: changes are made to the others.
    pub(crate) load: Load,
    log: PathBuf,
}

impl<'a> Cluster<'a> {
    /// Starts the upstream and makes `count` configurations with this many routes. From now on this
    /// thread leaves the gateway's processor alone.
    pub(crate) fn prepare(keelgate: &'a Path, routes: usize, count: usize) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        cores::keep_from_the_gateway()?;
        let upstream = upstream::start()?;
        let file = |name: &str| directory.path().join(name);
        let (cert, key) = (file("cluster.crt"), file("cluster.key"));
        let made = Command::new(keelgate)
            .args(["hybrid", "gen_cert"])
            .args([&cert, &key])
            .output()?;
        ensure!(
            made.status.success(),
            "cannot make the cluster's certificate"
        );
        Ok(Self {
            changes: Changes::prepare(&cert, &key, upstream, routes, count)?,
            keelgate,
            directory,
            routes,
        })
    }

    /// A path in the directory of this run.
    pub(crate) fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    /// Starts a data plane with these variables added, and waits until it serves.
    pub(crate) fn start<const N: usize>(
        &self,
        name: &str,
        variables: [(&str, String); N],
    ) -> anyhow::Result<DataPlane> {
        let control_plane = self.changes.start()?;
        let port = port::free()?;
        let log = self.directory.path().join(format!("{name}.log"));
        let mut command = Command::new(self.keelgate);
        command.args(["start", "--foreground"]).envs([
            ("KONG_PREFIX", self.path(&format!("prefix-{name}"))),
            ("KONG_ROLE", "data_plane".to_owned()),
            ("KONG_DATABASE", "off".to_owned()),
            ("KONG_LOG_LEVEL", "warn".to_owned()),
            ("KONG_PROXY_ACCESS_LOG", "off".to_owned()),
            ("KONG_NGINX_WORKER_PROCESSES", "2".to_owned()),
            ("KONG_PROXY_LISTEN", format!("127.0.0.1:{port} reuseport")),
            ("KONG_CLUSTER_CERT", self.path("cluster.crt")),
            ("KONG_CLUSTER_CERT_KEY", self.path("cluster.key")),
            (
                "KONG_CLUSTER_CONTROL_PLANE",
                control_plane.address.to_string(),
            ),
        ]);
        command.envs(variables);
        let process = cores::of_the_gateway(|| Process::start(&mut command, &log))?;
        let last = self.routes - 1;
        let url = format!("http://127.0.0.1:{port}/route-{last}/");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(wait::until(&process, &log, &url, |status, _| status == 200))?;
        Ok(DataPlane {
            control_plane,
            process,
            load: Load {
                address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
                transport: Transport::Clear,
                requests: [Request::get(&format!("/route-{last}/1024"), &[])?].into(),
                senders: CONNECTIONS,
                connect: false,
                apart: true,
            },
            log,
        })
    }
}

impl DataPlane {
    /// Ends it, and tells what it logged.
    pub(crate) fn end(self) -> anyhow::Result<String> {
        self.process.kill();
        Ok(std::fs::read_to_string(&self.log)?)
    }
}
