//! The running choice of configuration, as the rest of the node sees it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use keelgate_fallback::{Fetcher, Verify};
use keelgate_snapshot::{DeltaError, SealingKeys, Snapshot};
use keelgate_sync::Applied;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::driver::{Driver, Outlets};
use crate::{Activator, AgeBound, Report};

/// How a data plane finds its configuration.
#[derive(Clone, Debug)]
pub struct SourceSettings {
    /// Directory of the disk cache and of the crash guard; only this node uses it.
    pub directory: PathBuf,
    /// Version of the software.
    pub version: String,
    /// How many control-plane addresses the client dials.
    pub control_planes: usize,
    /// `cluster_connect_deadline`.
    pub deadline: Duration,
    /// `cluster_fallback_config_refresh`.
    pub refresh: Duration,
    /// `cluster_fallback_config_max_age` and its policy.
    pub age: AgeBound,
    /// The keys that seal the disk cache; none leaves it plain. [`Verifiers::cache`] must open
    /// what they seal.
    pub sealing: Option<Arc<SealingKeys>>,
}

/// The connection to the control plane.
#[derive(Debug)]
pub struct ControlPlaneLink {
    /// What [`keelgate_sync::Client::run`] tells.
    pub events: mpsc::Receiver<keelgate_sync::Event>,
    /// What it passes on to the control plane.
    pub applied: watch::Sender<Applied>,
}

/// Which documents are believed.
#[derive(Clone)]
pub struct Verifiers {
    /// From the control plane, which has proved itself by its certificate.
    pub control_plane: Verify,
    /// From this node's own disk.
    pub cache: Verify,
    /// What a delta of the control plane leads to; without it none is used.
    pub delta: Option<VerifyDelta>,
}

/// The snapshot that a delta leads to from another, verified, or why it leads to none.
pub type VerifyDelta = Arc<dyn Fn(&Snapshot, &[u8]) -> Result<Snapshot, DeltaError> + Send + Sync>;

/// A running choice of configuration.
#[derive(Debug)]
pub struct Arbiter {
    report: watch::Receiver<Report>,
    served: watch::Receiver<Option<Snapshot>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Arbiter {
    /// Starts on the current runtime. Without a link there is no control plane; without fetchers
    /// no storage is read.
    pub fn start(
        settings: SourceSettings,
        link: Option<ControlPlaneLink>,
        fetchers: Vec<Fetcher>,
        verifiers: Verifiers,
        activator: Arc<dyn Activator>,
    ) -> Self {
        let (report, watched) = watch::channel(Report::new());
        let (served, serving) = watch::channel(None);
        let stop = CancellationToken::new();
        let (events, applied) = match link {
            Some(link) => (Some(link.events), Some(link.applied)),
            None => (None, None),
        };
        let outlets = Outlets {
            report,
            served,
            applied,
        };
        let task = Driver::start(
            settings,
            fetchers,
            verifiers,
            activator,
            outlets,
            events,
            stop.clone(),
        );
        Self {
            report: watched,
            served: serving,
            stop,
            task,
        }
    }

    /// What is served, from where, and what was tried.
    pub fn report(&self) -> watch::Receiver<Report> {
        self.report.clone()
    }

    /// The snapshot that is served; what a backup node publishes.
    pub fn served(&self) -> watch::Receiver<Option<Snapshot>> {
        self.served.clone()
    }

    /// Stops following all sources; what is served is kept on disk.
    pub async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the choice of configuration failed");
        }
    }
}
