//! The proxies under test, each with a minimal configuration for the same job: two workers, one route
//! to one upstream (or a hundred routes), keep-alive to both sides, HTTP and TLS.

mod envoy;
pub(crate) mod gateway;
mod haproxy;
mod keelgate;
mod kong;
mod nginx;
mod relay;

pub(crate) use kong::IN_THE_FOREGROUND as KONG_IN_THE_FOREGROUND;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::policy::Policy;
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
    /// What it does with requests.
    pub(crate) policy: &'a Policy,
}

/// Writes a peer's configuration and makes the command that starts it.
type Prepare = fn(&Path, &Setting<'_>) -> anyhow::Result<Command>;

/// What a peer can do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Routes, and plugins.
    Gateway,
    /// Routes.
    Proxy,
    /// Neither.
    Relay,
}

/// A proxy under test.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
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

/// Keelgate alone.
pub(crate) fn keelgate(keelgate: &Path) -> Peer {
    Peer {
        name: "keelgate",
        kind: Kind::Gateway,
        binary: keelgate.into(),
        prepare: keelgate::prepare,
    }
}

/// Keelgate, the bare relays, and those of the other peers that are installed; the rest by name.
pub(crate) fn all(keelgate: &Path) -> anyhow::Result<(Vec<Peer>, Vec<&'static str>)> {
    let mut found = vec![
        self::keelgate(keelgate),
        Peer {
            name: "bare relay",
            kind: Kind::Relay,
            binary: std::env::current_exe()?,
            prepare: relay::prepare,
        },
    ];
    let mut missing = Vec::new();
    match keelgate_socket::probe() {
        Ok(()) => found.push(Peer {
            name: "bare relay, io_uring",
            kind: Kind::Relay,
            binary: std::env::current_exe()?,
            prepare: relay::prepare_io_uring,
        }),
        Err(_) => missing.push("bare relay, io_uring"),
    }
    let others: [(&'static str, Kind, Prepare); 4] = [
        ("nginx", Kind::Proxy, nginx::prepare),
        ("haproxy", Kind::Proxy, haproxy::prepare),
        ("envoy", Kind::Proxy, envoy::prepare),
        ("kong", Kind::Gateway, kong::prepare),
    ];
    for (name, kind, prepare) in others {
        match installed(name) {
            Some(binary) => found.push(Peer {
                name,
                kind,
                binary,
                prepare,
            }),
            None => missing.push(name),
        }
    }
    Ok((found, missing))
}

/// Where a peer is: named by a variable, or on the path.
pub(crate) fn installed(name: &str) -> Option<PathBuf> {
    let variable = std::env::var_os(format!("{}_BIN", name.to_uppercase())).map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    variable
        .into_iter()
        .chain(places.map(|place| place.join(name)))
        .find(|path| path.is_file())
}
