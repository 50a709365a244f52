//! What keeps upstreams up to date, beside the requests: one thread per node.
//!
//! | module | its one reason |
//! |---|---|
//! | `targets` | what the names of targets stand for, ahead of requests |
//! | `probes` | when which target is probed |
//! | `probe` | one probe of one target |

mod probe;
mod probes;
mod targets;

use std::sync::Arc;
use std::thread::JoinHandle;

use keelgate_runtime::Shared;
use tokio::sync::oneshot;
use tokio::task::LocalSet;

use crate::names::{Asks, Names, asking};
use crate::settings::Settings;

/// The thread; it ends when this is dropped.
pub(crate) struct Upkeep {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Upkeep {
    pub(crate) fn start(
        settings: Arc<Settings>,
        shared: Arc<Shared>,
        names: Arc<Names>,
        asks: Asks,
    ) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new()
            .name("upkeep".to_owned())
            .spawn(move || {
                let work = run(&settings, &shared, names, asks);
                LocalSet::new().block_on(&runtime, async {
                    tokio::select! {
                        () = work => {}
                        _ = stopped => {}
                    }
                });
            })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(JoinHandle::join);
        if matches!(ended, Some(Err(_))) {
            tracing::error!("the upkeep of upstreams has panicked");
        }
    }
}

async fn run(settings: &Settings, shared: &Shared, names: Arc<Names>, asks: Asks) {
    let asking = asking::serve(&settings.dns, &names, asks);
    let targets = targets::follow(shared, &names);
    tokio::join!(asking, targets, probes::follow(shared));
}
