//! The proxies under test, each with a minimal configuration for the same job: two workers, one route
//! to one upstream, keep-alive to both sides, HTTP and TLS.

mod envoy;
mod haproxy;
mod keelgate;
mod nginx;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::Process;

/// What every peer is told.
pub(crate) struct Setting<'a> {
    /// A directory of the peer's own.
    pub(crate) directory: &'a Path,
    /// Where it proxies to.
    pub(crate) upstream: SocketAddr,
    /// Its port for HTTP.
    pub(crate) port: u16,
    /// Its port for HTTPS.
    pub(crate) tls_port: u16,
    /// A server certificate for `localhost`, in PEM.
    pub(crate) certificate: &'a Path,
    /// Its key.
    pub(crate) key: &'a Path,
}

/// Writes a peer's configuration and makes the command that starts it.
type Prepare = fn(&Path, &Setting<'_>) -> anyhow::Result<Command>;

/// A proxy under test.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    binary: PathBuf,
    prepare: Prepare,
}

impl Peer {
    /// Writes its configuration and starts it.
    pub(crate) fn start(&self, setting: &Setting<'_>) -> anyhow::Result<Process> {
        let mut command = (self.prepare)(&self.binary, setting)?;
        Process::start(&mut command, &setting.directory.join("log"))
    }
}

/// Keelgate and those of its peers that are installed; the others by name.
pub(crate) fn all(keelgate: &Path) -> (Vec<Peer>, Vec<&'static str>) {
    let mut found = vec![Peer {
        name: "keelgate",
        binary: keelgate.into(),
        prepare: keelgate::prepare,
    }];
    let mut missing = Vec::new();
    let others: [(&'static str, Prepare); 3] = [
        ("nginx", nginx::prepare),
        ("haproxy", haproxy::prepare),
        ("envoy", envoy::prepare),
    ];
    for (name, prepare) in others {
        match installed(name) {
            Some(binary) => found.push(Peer {
                name,
                binary,
                prepare,
            }),
            None => missing.push(name),
        }
    }
    (found, missing)
}

fn installed(name: &str) -> Option<PathBuf> {
    let variable = std::env::var_os(format!("{}_BIN", name.to_uppercase())).map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    variable
        .into_iter()
        .chain(places.map(|place| place.join(name)))
        .find(|path| path.is_file())
}
