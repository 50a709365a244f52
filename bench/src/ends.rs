//! The two ends alone, for a profiler or a tracer on the proxy between them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::connection::Transport;
use crate::load::Load;
use crate::request::Request;
use crate::{table, upstream};

/// Options of `upstream`.
#[derive(Args)]
pub(crate) struct UpstreamArguments {
    /// Where it listens.
    #[arg(long, default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
}

/// Options of `load`.
#[derive(Args)]
pub(crate) struct LoadArguments {
    /// Where the proxy listens.
    #[arg(long)]
    address: SocketAddr,
    /// Trust this certificate (PEM), and speak TLS.
    #[arg(long)]
    certificate: Option<PathBuf>,
    /// What is asked for; the upstream answers as many bytes as the last segment says.
    #[arg(long, default_value = "/1024")]
    path: String,
    /// Connections.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// For how long, in seconds.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Requests per second; as fast as it goes without.
    #[arg(long)]
    rate: Option<f64>,
}

/// Serves until it is killed.
pub(crate) fn serve(options: &UpstreamArguments) -> anyhow::Result<()> {
    upstream::run(std::net::TcpListener::bind(options.listen)?)
}

/// Sends, and tells how many requests and how long they took.
pub(crate) fn load(options: &LoadArguments) -> anyhow::Result<()> {
    let transport = match &options.certificate {
        None => Transport::Clear,
        Some(file) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_file(file)?)?;
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let client = ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()?
                .with_root_certificates(roots)
                .with_no_client_auth();
            Transport::Tls(Arc::new(client))
        }
    };
    let load = Load {
        address: options.address,
        transport,
        requests: [Request::get(&options.path, &[])?].into(),
        senders: options.connections,
        connect: false,
        apart: false,
    };
    let outcome = load.run(Duration::from_secs_f64(options.seconds), options.rate)?;
    let latency = &outcome.latency;
    table::note(&format!(
        "{} requests; p50 {} us, p99 {} us, p99.9 {} us",
        outcome.requests,
        latency.value_at_quantile(0.5),
        latency.value_at_quantile(0.99),
        latency.value_at_quantile(0.999),
    ));
    Ok(())
}
