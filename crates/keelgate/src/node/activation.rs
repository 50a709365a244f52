//! From a snapshot to what serves: decode, compile, swap.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use anyhow::Context;
use keelgate_entities::{Config, Schemas};
use keelgate_runtime::{Env, Runtime, Shared};
use keelgate_snapshot::{Decoded, Identity, Snapshot};
use tokio::sync::watch;

use super::decoding::decode;

/// What serves, as other parts of the node need to know it.
#[derive(Clone, Debug)]
pub(crate) struct Active {
    /// Which snapshot.
    pub(crate) identity: Identity,
    /// Its hash in Kong's terms.
    pub(crate) config_hash: String,
    /// When it was made.
    pub(crate) created_at: SystemTime,
    /// When it began to serve.
    pub(crate) since: SystemTime,
    /// What of it cannot be used; everything else serves.
    pub(crate) flaws: Vec<String>,
}

/// How many snapshots are remembered that could be compiled.
const REMEMBERED: usize = 8;

/// Compiles snapshots and swaps them in, one at a time.
pub(crate) struct Activation {
    env: Env,
    schemas: Arc<Schemas>,
    shared: Arc<Shared>,
    active: watch::Sender<Option<Active>>,
    /// Held while one snapshot is compiled, so that two sources cannot overtake one another.
    turn: Mutex<()>,
    /// What serves in typed form: what the next one has in common with it is taken over.
    decoded: Mutex<Option<Arc<Decoded>>>,
    /// The last snapshots that could be compiled, the newest last. An identity names the content
    /// exactly, so nothing has to be compiled again to know that it can be.
    compiled: Mutex<VecDeque<Identity>>,
}

impl Activation {
    /// Serves nothing yet: every request is answered with "no Route matched".
    pub(crate) fn new(env: Env, schemas: Arc<Schemas>) -> anyhow::Result<Self> {
        let nothing = Runtime::compile(Config::default(), "nothing".to_owned(), &env, None)
            .context("cannot compile an empty configuration")?;
        Ok(Self {
            env,
            schemas,
            shared: Shared::new(Arc::new(nothing)),
            active: watch::Sender::new(None),
            turn: Mutex::new(()),
            decoded: Mutex::default(),
            compiled: Mutex::default(),
        })
    }

    /// The runtime that serves.
    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// What serves; `None` until the first snapshot does.
    pub(crate) fn active(&self) -> watch::Receiver<Option<Active>> {
        self.active.subscribe()
    }

    /// Compiles a snapshot whole and lets it serve. On an error what served before goes on. Blocks
    /// for as long as compiling takes.
    pub(crate) fn activate(&self, snapshot: &Snapshot) -> anyhow::Result<()> {
        self.prepare(snapshot)?.serve();
        Ok(())
    }

    /// What serves has another document by now: the same configuration under a newer identity, or
    /// stated later.
    pub(crate) fn restate(&self, snapshot: &Snapshot) {
        self.active.send_if_modified(|active| {
            let Some(active) = active else {
                return false;
            };
            active.identity = *snapshot.identity();
            active.created_at = snapshot.created_at();
            true
        });
    }

    /// Compiles a snapshot whole; nothing serves it until [`Prepared::serve`].
    pub(crate) fn prepare<'a>(&'a self, snapshot: &'a Snapshot) -> anyhow::Result<Prepared<'a>> {
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let (runtime, decoded) = self.compile(snapshot)?;
        Ok(Prepared {
            activation: self,
            snapshot,
            runtime,
            decoded,
            _turn: turn,
        })
    }

    /// Whether a snapshot can be compiled, without serving it: what a backup node asks before it
    /// publishes. Costs nothing for one that this node has compiled to serve.
    pub(crate) fn try_compile(&self, snapshot: &Snapshot) -> anyhow::Result<()> {
        if self.compiled().contains(snapshot.identity()) {
            return Ok(());
        }
        self.compile(snapshot).map(drop)
    }

    fn compiled(&self) -> MutexGuard<'_, VecDeque<Identity>> {
        self.compiled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn decoded(&self) -> MutexGuard<'_, Option<Arc<Decoded>>> {
        self.decoded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn compile(&self, snapshot: &Snapshot) -> anyhow::Result<(Runtime, Arc<Decoded>)> {
        let last = self.decoded().clone();
        let decoded = Arc::new(decode(snapshot, &self.schemas, last.as_deref())?);
        let config = decoded.config.clone();
        let label = snapshot.identity().to_string();
        let previous = self.shared.load();
        let runtime = Runtime::compile(config, label, &self.env, Some(&previous))?;
        let mut compiled = self.compiled();
        if compiled.len() == REMEMBERED {
            compiled.pop_front();
        }
        compiled.push_back(*snapshot.identity());
        Ok((runtime, decoded))
    }
}

/// A compiled snapshot that waits to serve.
pub(crate) struct Prepared<'a> {
    activation: &'a Activation,
    snapshot: &'a Snapshot,
    runtime: Runtime,
    decoded: Arc<Decoded>,
    _turn: MutexGuard<'a, ()>,
}

impl Prepared<'_> {
    /// Lets it serve from now on.
    pub(crate) fn serve(self) {
        let Self {
            activation,
            snapshot,
            runtime,
            decoded,
            ..
        } = self;
        let flaws: Vec<String> = runtime.flaws().iter().map(ToString::to_string).collect();
        for flaw in &flaws {
            tracing::warn!("served without what is wrong: {flaw}");
        }
        activation.shared.swap(Arc::new(runtime));
        *activation.decoded() = Some(decoded);
        activation.active.send_replace(Some(Active {
            identity: *snapshot.identity(),
            config_hash: snapshot.config_hash().to_owned(),
            created_at: snapshot.created_at(),
            since: SystemTime::now(),
            flaws,
        }));
    }
}
