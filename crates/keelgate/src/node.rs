//! A running node: composes what its role needs, runs until a signal, and ends in order.
//!
//! | module | its one reason |
//! |---|---|
//! | `common` | what every role has: schemas, plugins, status API, metrics |
//! | `store_backed` | control planes and `traditional` nodes with a database |
//! | `declarative` | nodes without a database |
//! | `data_plane` | data planes |
//! | `feed` | from the store's changes to snapshots |
//! | `activation` | from a snapshot to what serves |
//! | `backup` | the publisher of a backup node |
//! | `storages` | the storages of the settings, opened |
//! | `secrets` | the secrets that entities refer to |
//! | `served`, `streams` | what the proxy is told, and what of it is for streams |
//! | `offline` | what commands need of a node without running one |
//! | `apis`, `certificates`, `verification` | listeners of the APIs; TLS; whose snapshots are believed |
//! | `reports` | what status, metrics and logs tell |
//! | `acme`, `responses` | what plugins keep, as the Admin API tells and changes it |
//! | `records` | short-lived records of plugins, in the store |
//! | `host_names` | where plugins find hosts |
//! | `place` | the processes before and after this one |
//! | `running` | signals, reload, handover and the end |
//! | `upstreams` | targets of upstreams and their health, as the APIs tell and set it |

mod acme;
mod activation;
mod apis;
mod backup;
mod certificates;
mod client_certificates;
mod common;
mod data_plane;
mod declarative;
mod decoding;
mod feed;
mod host_names;
mod log_level;
mod offline;
mod place;
mod records;
mod reports;
mod responses;
mod running;
mod secrets;
mod served;
mod storages;
mod store_backed;
mod streams;
mod tickets;
mod upstreams;
mod verification;

use anyhow::{Context, Result};
use keelgate_settings::{DatabaseKind, Role, Settings};
use keelgate_telemetry::LogHandle;

pub(crate) use activation::Activation;
pub(crate) use backup::{prepare, publisher_settings};
pub(crate) use certificates::trusted;
pub(crate) use common::hostname;
pub(crate) use feed::config_table;
pub(crate) use offline::{activation, schemas};
pub(crate) use place::Place;
pub(crate) use served::has_plugins;
pub(crate) use storages::storages;
pub(crate) use tickets::TicketKeys;
pub(crate) use verification::ClusterIdentity;

use common::Common;
use running::{Running, Signals};

/// Threads for everything but the proxy, which has its own.
const THREADS: usize = 2;

/// Runs the node until it is told to end.
pub(crate) fn run(settings: Settings, log: LogHandle, place: Place) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("keelgate")
        // Compiling a configuration must not be felt by requests. The proxy's own threads are
        // started by this one, which keeps its priority.
        .on_thread_start(keelgate_runtime::scheduling::stand_back)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let outcome = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let running = tokio::select! {
            running = start(settings, log, place) => running?,
            () = signals.ending() => {
                tracing::info!("told to end before the node ran");
                return Ok(());
            }
        };
        running.until_the_end(signals).await
    });
    // Blocking work that nobody waits for any more (a compile, a look-up) must not hold the process.
    runtime.shutdown_background();
    outcome
}

/// Starts the parts that the role needs.
async fn start(settings: Settings, log: LogHandle, place: Place) -> Result<Running> {
    let common = Common::prepare(settings, log, place).await?;
    match (common.settings.node.role, common.settings.database.database) {
        (Role::DataPlane, _) => data_plane::start(common).await,
        (_, DatabaseKind::Off) => declarative::start(common).await,
        (_, DatabaseKind::Sqlite | DatabaseKind::Postgres) => store_backed::start(common).await,
    }
}
