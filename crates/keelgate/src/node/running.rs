//! A node that runs: signals, reload, handover to another process, and the end in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use keelgate_plugins::Registry;
use keelgate_proxy::{Bound, Drain, Handle, Sockets};
use keelgate_settings::Settings;
use keelgate_telemetry::LogHandle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::activation::Active;
use super::apis::Term;
use super::backup::Backup;
use super::host_names;
use super::place::Place;
use super::served::{self, Lasting};
use crate::handover::{self, Configuration, Estate};
use crate::{logging, readiness};

/// How long requests in flight may take after SIGTERM.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// How long they may take after SIGQUIT when `nginx_main_worker_shutdown_timeout` is not set: as long
/// as they need, in practice.
const QUIT_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// How long idle connections are kept when others serve on the same sockets: a client that is told
/// with a response to connect anew loses nothing, one whose idle connection is closed may.
const PATIENCE: Duration = Duration::from_secs(10);

/// The same when nobody else serves here.
const LAST_PATIENCE: Duration = Duration::from_millis(500);

/// How long a backup that is under way may take at the end. A storage that does not answer must not
/// hold the process; what is written there is whole or not at all, and the lease runs out.
const LAST_BACKUP: Duration = Duration::from_secs(5);

/// How long records about the last requests may take to be delivered.
const LAST_RECORDS: Duration = Duration::from_secs(3);

/// What is done on SIGHUP beside reading the settings anew.
pub(crate) type Reload = Box<dyn Fn(&Settings) -> Result<()> + Send + Sync>;

/// A configuration that this process alone holds.
pub(crate) trait InMemory: Send + Sync {
    /// What is served, unless the next process reads it where this one has; no change is taken from
    /// now on. Blocks.
    ///
    /// # Errors
    /// When it cannot be written down.
    fn hold(&self, settings: &Settings) -> Result<Option<Configuration>>;

    /// Takes changes again.
    fn release(&self);
}

/// The proxy of a node.
#[derive(Debug)]
pub(crate) enum Front {
    /// Serves.
    Serving(Handle),
    /// Waits for a configuration, while another process serves.
    Held(Bound),
}

/// The parts of a node that runs.
pub(crate) struct Running {
    pub(crate) settings: Arc<Settings>,
    pub(crate) log: LogHandle,
    /// Which configuration serves.
    pub(crate) active: watch::Receiver<Option<Active>>,
    /// Serves requests; none on control planes.
    pub(crate) front: Option<Front>,
    /// Proxies with earlier settings that finish their requests.
    pub(crate) retired: Vec<JoinHandle<()>>,
    pub(crate) backup: Option<Backup>,
    /// Tasks that end with the term.
    pub(crate) tasks: Vec<JoinHandle<()>>,
    pub(crate) term: Term,
    /// Set when the node is about to end, so that it is no longer ready.
    pub(crate) ending: Arc<AtomicBool>,
    pub(crate) reload: Option<Reload>,
    pub(crate) in_memory: Option<Arc<dyn InMemory>>,
    /// Listening sockets beside the proxy's, to hand them on.
    pub(crate) sockets: Sockets,
    pub(crate) lasting: Lasting,
    /// The plugins, which may have records to deliver.
    pub(crate) registry: Arc<Registry>,
    pub(crate) place: Place,
}

impl Running {
    /// Runs until SIGTERM, SIGINT or SIGQUIT, or until another process has taken over; then ends in
    /// order: not ready any more, requests in flight, APIs and connections, backups. A second signal
    /// ends at once.
    pub(crate) async fn until_the_end(mut self, mut signals: Signals) -> Result<()> {
        tokio::select! {
            begun = self.begin() => begun?,
            () = signals.ending() => {
                tracing::info!("told to end before the node ran");
                return Ok(());
            }
        }
        readiness::ready();
        tracing::info!("the node runs");
        let end = loop {
            match signals.next().await {
                Told::Reload => self.reload().await,
                Told::Reopen => self.reopen().await,
                Told::Stop => break alone(STOP_TIMEOUT),
                Told::Quit => break alone(self.quit_timeout()),
                Told::Succeed => match self.hand_over(&mut signals).await {
                    Ok(None) => {
                        break succeeded(self.quit_timeout());
                    }
                    Ok(Some(limit)) => break alone(limit),
                    Err(error) => {
                        tracing::error!("cannot hand over, this process goes on: {error:#}");
                        handover::note_failure(&self.place.prefix, Some(&format!("{error:#}")));
                    }
                },
            }
        };
        if !end.is_succeeded {
            readiness::stopping();
        }
        tracing::info!("the process ends after its requests in flight");
        tokio::select! {
            () = self.end(end) => {}
            () = signals.ending() => tracing::warn!("ended at once by a second signal"),
        }
        Ok(())
    }

    fn quit_timeout(&self) -> Duration {
        let limit = &self.settings.node.nginx_main_worker_shutdown_timeout;
        limit.as_ref().map_or(QUIT_TIMEOUT, |time| time.0)
    }

    /// Becomes the node: at once, or, beside a process that serves, once this one serves, too.
    async fn begin(&mut self) -> Result<()> {
        let inheritance = self.place.inheritance.take();
        if let Some(Front::Held(_)) = &self.front {
            self.active
                .wait_for(Option::is_some)
                .await
                .context("no configuration came")?;
        }
        self.front = match self.front.take() {
            Some(Front::Held(bound)) => {
                let proxy = bound.serve()?;
                host_names::share(&proxy, &self.registry);
                Some(Front::Serving(proxy))
            }
            front => front,
        };
        if let Some(inheritance) = inheritance {
            let heir = inheritance.heir;
            tokio::task::spawn_blocking(move || heir.succeed())
                .await
                .context("waiting for the process before failed")??;
        }
        self.place.claim.hold()?;
        self.term.began.cancel();
        Ok(())
    }

    async fn end(self, end: Drain) {
        if !end.is_succeeded {
            self.ending.store(true, Ordering::Relaxed);
        }
        drop(self.sockets);
        let mut draining = self.retired;
        if let Some(Front::Serving(proxy)) = self.front {
            draining.push(retire(proxy, end));
        }
        let ended = self.term.ended.clone();
        let registry = self.registry;
        let drained = async {
            for proxy in draining {
                // What failed in there was logged there.
                let _ = proxy.await;
            }
            registry.finish(LAST_RECORDS).await;
        };
        let (tasks, backup) = (self.tasks, self.backup);
        let others = async {
            for task in tasks {
                if let Err(error) = task.await {
                    tracing::error!("a part of the node failed: {error}");
                }
            }
            if let Some(backup) = backup
                && tokio::time::timeout(LAST_BACKUP, backup.stop())
                    .await
                    .is_err()
            {
                tracing::warn!("ended while a backup was under way: its storage does not answer");
            }
        };
        if end.is_succeeded {
            // The other process does all this now.
            ended.cancel();
            tokio::join!(drained, others);
        } else {
            drained.await;
            ended.cancel();
            others.await;
        }
    }

    /// Reads the settings anew and takes over what can change while the node runs.
    async fn reload(&mut self) {
        let settings = match self.settings.reload() {
            Ok(loaded) => loaded.settings,
            Err(error) => {
                tracing::error!("cannot reload, the settings stay as they were: {error}");
                return;
            }
        };
        if let Err(error) = self.log.reopen() {
            tracing::error!("cannot reopen the log: {error}");
        }
        match self.take_over(settings).await {
            Ok(()) => tracing::info!("reloaded"),
            Err(error) => {
                tracing::error!("cannot reload, what was served before goes on: {error:#}");
            }
        }
    }

    async fn take_over(&mut self, settings: Settings) -> Result<()> {
        self.log.set_level(logging::level(settings.log.log_level));
        if let Some(reload) = &self.reload {
            // A large configuration takes a while to compile; nothing else is due meanwhile.
            reload(&settings)?;
        }
        let later = self.settings.differences(&settings);
        let later: Vec<_> = later.filter(|key| !served::is_reloaded(key)).collect();
        if !later.is_empty() {
            tracing::warn!(
                "these settings have changed and count after `keelgate restart --graceful`: {}",
                later.join(", ")
            );
        }
        let Some(Front::Serving(proxy)) = &self.front else {
            return Ok(());
        };
        let changed = served::proxy_settings(&settings, &self.lasting).await?;
        let successor = proxy.successor(changed)?;
        host_names::share(&successor, &self.registry);
        if let Some(Front::Serving(before)) = self.front.replace(Front::Serving(successor)) {
            self.retired
                .push(retire(before, succeeded(self.quit_timeout())));
        }
        self.retired.retain(|proxy| !proxy.is_finished());
        Ok(())
    }

    /// Opens the log files anew, after something has moved them away.
    async fn reopen(&self) {
        if let Err(error) = self.log.reopen() {
            tracing::error!("cannot reopen the log: {error}");
        }
        if let Some(Front::Serving(proxy)) = &self.front {
            // Waits where lines wait for the disk.
            let _ = tokio::task::spawn_blocking(proxy.reopener()).await;
        }
        tracing::info!("reopened the logs");
    }

    /// Starts another process and makes it the node; unless this one is told to end meanwhile, which
    /// it then does within the time that is answered. On an error nothing has changed.
    async fn hand_over(&mut self, signals: &mut Signals) -> Result<Option<Duration>> {
        if rustix::process::getpid().is_init() {
            bail!(
                "this is the first process of its container, which would end with it; replace the \
                 container"
            );
        }
        tracing::info!("starting another process to hand over to");
        let mut sockets = self.sockets.try_clone()?;
        if let Some(Front::Serving(proxy)) = &self.front {
            sockets.append(proxy.sockets()?);
        }
        let mut estate = Estate {
            sockets,
            claim: self.place.claim.file()?,
            prefix: self.place.prefix.clone(),
            serving: self.active.borrow().is_some(),
            tickets: self.lasting.ticket_keys(),
            configuration: None,
        };
        // From this thread, whose priority is that of the proxy: a process inherits it.
        let waiting = self.place.successor.start()?;
        let id = waiting.id();
        let (in_memory, settings) = (self.in_memory.clone(), Arc::clone(&self.settings));
        let handed = tokio::task::spawn_blocking(move || {
            if let Some(in_memory) = in_memory {
                match in_memory.hold(&settings) {
                    Ok(configuration) => estate.configuration = configuration,
                    Err(error) => return Err(waiting.give_up(error)),
                }
            }
            waiting.hand_over(&estate)
        });
        let handed = tokio::select! {
            handed = handed => handed.context("the handover failed").flatten(),
            limit = self.told_to_end(signals) => {
                tracing::info!("told to end before another process had taken over");
                handover::end(id);
                return Ok(Some(limit));
            }
        };
        let taken = handed.and_then(handover::Waiting::succeed);
        match taken {
            Ok(()) => {
                // Two processes must not both answer for the node.
                self.term.ended.cancel();
                readiness::main_process(id);
                tracing::info!("process {id} is the node now");
                Ok(None)
            }
            Err(error) => {
                if let Some(in_memory) = &self.in_memory {
                    in_memory.release();
                }
                Err(error)
            }
        }
    }

    async fn told_to_end(&self, signals: &mut Signals) -> Duration {
        loop {
            match signals.next().await {
                Told::Stop => return STOP_TIMEOUT,
                Told::Quit => return self.quit_timeout(),
                Told::Reload | Told::Reopen | Told::Succeed => {}
            }
        }
    }
}

/// How a proxy ends whose sockets others accept from.
fn succeeded(limit: Duration) -> Drain {
    Drain {
        limit,
        patience: PATIENCE,
        is_succeeded: true,
    }
}

/// How a proxy ends that was the only one.
fn alone(limit: Duration) -> Drain {
    Drain {
        limit,
        patience: LAST_PATIENCE,
        is_succeeded: false,
    }
}

/// Lets a proxy finish its requests, off the threads of the node.
fn retire(proxy: Handle, drain: Drain) -> JoinHandle<()> {
    tokio::task::spawn_blocking(move || {
        let drained = proxy.drain_as(drain);
        if drained.cut_off > 0 {
            tracing::warn!(
                "{} connections were cut off when their time was over",
                drained.cut_off
            );
        }
    })
}

enum Told {
    Stop,
    Quit,
    Reload,
    Reopen,
    Succeed,
}

/// The signals that a node hears. Listened to from the first moment: one that comes while the node
/// starts ends it in order, too.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hang_up: Signal,
    user: [Signal; 2],
}

impl Signals {
    pub(crate) fn listen() -> Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            quit: listen(SignalKind::quit())?,
            hang_up: listen(SignalKind::hangup())?,
            user: [
                listen(SignalKind::user_defined1())?,
                listen(SignalKind::user_defined2())?,
            ],
        })
    }

    async fn next(&mut self) -> Told {
        let [reopen, succeed] = &mut self.user;
        tokio::select! {
            _ = self.terminate.recv() => Told::Stop,
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.quit.recv() => Told::Quit,
            _ = self.hang_up.recv() => Told::Reload,
            _ = reopen.recv() => Told::Reopen,
            _ = succeed.recv() => Told::Succeed,
        }
    }

    /// Waits for a signal that ends.
    pub(crate) async fn ending(&mut self) {
        while !matches!(self.next().await, Told::Stop | Told::Quit) {}
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
