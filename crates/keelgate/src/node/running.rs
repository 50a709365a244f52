//! A node that runs: signals, reload, and the end in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use keelgate_settings::Settings;
use keelgate_telemetry::LogHandle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::backup::Backup;
use crate::{logging, readiness};

/// How long requests in flight may take after SIGTERM.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// How long they may take after SIGQUIT when `nginx_main_worker_shutdown_timeout` is not set: as long
/// as they need, in practice.
const QUIT_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a backup that is under way may take at the end. A storage that does not answer must not
/// hold the process; what is written there is whole or not at all, and the lease runs out.
const LAST_BACKUP: Duration = Duration::from_secs(5);

/// What is done on SIGHUP beside reading the settings anew.
pub(crate) type Reload = Box<dyn Fn(&Settings) -> Result<()> + Send + Sync>;

/// The parts of a node that runs.
pub(crate) struct Running {
    pub(crate) settings: Arc<Settings>,
    pub(crate) log: LogHandle,
    /// Serves requests; none on control planes.
    pub(crate) proxy: Option<keelgate_proxy::Handle>,
    pub(crate) backup: Option<Backup>,
    /// Tasks that end when `stop` is cancelled.
    pub(crate) tasks: Vec<JoinHandle<()>>,
    pub(crate) stop: CancellationToken,
    /// Set when the node is about to end, so that it is no longer ready.
    pub(crate) ending: Arc<AtomicBool>,
    pub(crate) reload: Option<Reload>,
}

impl Running {
    /// Runs until SIGTERM, SIGINT or SIGQUIT, then ends in order: not ready any more, requests in
    /// flight, APIs and connections, backups. A second signal ends at once.
    pub(crate) async fn until_the_end(self, mut signals: Signals) -> Result<()> {
        readiness::ready();
        tracing::info!("the node runs");
        let patience = loop {
            match signals.next().await {
                Told::Reload => self.reload(),
                Told::Stop => break STOP_TIMEOUT,
                Told::Quit => {
                    let limit = self
                        .settings
                        .node
                        .nginx_main_worker_shutdown_timeout
                        .as_ref();
                    break limit.map_or(QUIT_TIMEOUT, |time| time.0);
                }
            }
        };
        readiness::stopping();
        tracing::info!("the node ends after its requests in flight");
        tokio::select! {
            () = self.end(patience) => {}
            () = signals.ending() => tracing::warn!("ended at once by a second signal"),
        }
        Ok(())
    }

    async fn end(self, patience: Duration) {
        self.ending.store(true, Ordering::Relaxed);
        if let Some(proxy) = self.proxy {
            let drained = tokio::task::spawn_blocking(move || proxy.drain(patience)).await;
            if let Ok(drained) = drained
                && drained.cut_off > 0
            {
                tracing::warn!(
                    "{} connections were cut off when their time was over",
                    drained.cut_off
                );
            }
        }
        self.stop.cancel();
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!("a part of the node failed: {error}");
            }
        }
        if let Some(backup) = self.backup
            && tokio::time::timeout(LAST_BACKUP, backup.stop())
                .await
                .is_err()
        {
            tracing::warn!("ended while a backup was under way: its storage does not answer");
        }
    }

    /// Reads the settings anew and takes over what can change while the node runs.
    fn reload(&self) {
        match self.settings.reload() {
            Ok(loaded) => {
                self.log
                    .set_level(logging::level(loaded.settings.log.log_level));
                if let Err(error) = self.log.reopen() {
                    tracing::error!("cannot reopen the log: {error}");
                }
                if let Some(reload) = &self.reload
                    && let Err(error) = reload(&loaded.settings)
                {
                    tracing::error!("cannot reload, what was served before goes on: {error:#}");
                    return;
                }
                tracing::info!("reloaded");
            }
            Err(error) => tracing::error!("cannot reload, the settings stay as they were: {error}"),
        }
    }
}

enum Told {
    Stop,
    Quit,
    Reload,
}

/// The signals that a node hears. Listened to from the first moment: one that comes while the node
/// starts ends it in order, too.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hang_up: Signal,
}

impl Signals {
    pub(crate) fn listen() -> Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            quit: listen(SignalKind::quit())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::Stop,
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.quit.recv() => Told::Quit,
            _ = self.hang_up.recv() => Told::Reload,
        }
    }

    /// Waits for a signal that ends.
    pub(crate) async fn ending(&mut self) {
        while matches!(self.next().await, Told::Reload) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_signal_that_comes_while_the_node_starts_is_heard() {
        let mut signals = Signals::listen().unwrap();
        let own = rustix::process::getpid();
        rustix::process::kill_process(own, rustix::process::Signal::HUP).unwrap();
        rustix::process::kill_process(own, rustix::process::Signal::TERM).unwrap();
        tokio::select! {
            () = std::future::pending() => {}
            () = signals.ending() => {}
        }
    }
}
