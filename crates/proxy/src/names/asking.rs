//! Who asks name servers: one task, each name once at a time however many wait for it.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::oneshot;

use super::lookup::Lookup;
use super::{Answer, Asks, Names};
use crate::settings::Dns;

/// Names asked for at once.
const AT_ONCE: usize = 256;

/// Answers asks until nobody can ask any more.
pub(crate) async fn serve(settings: &Dns, names: &Names, mut asks: Asks) {
    let lookup = &Lookup::new(settings);
    let mut waiting: HashMap<Arc<str>, Vec<oneshot::Sender<Arc<Answer>>>> = HashMap::new();
    let mut under_way = FuturesUnordered::new();
    loop {
        tokio::select! {
            ask = asks.recv(), if under_way.len() < AT_ONCE => {
                let Some(ask) = ask else { return };
                if let Some(others) = waiting.get_mut(&ask.name) {
                    others.extend(ask.told);
                    continue;
                }
                waiting.insert(Arc::clone(&ask.name), ask.told.into_iter().collect());
                let last = names.known(&ask.name).and_then(|known| known.record());
                under_way.push(async move {
                    let heard = lookup.of(&ask.name, last).await;
                    (ask.name, heard)
                });
            }
            Some((name, heard)) = under_way.next() => {
                tracing::debug!(name = &*name, ?heard, "a name server was asked");
                let answer = names.learn(&name, heard);
                for waiting in waiting.remove(&name).into_iter().flatten() {
                    // Whoever asked may have gone.
                    let _ = waiting.send(Arc::clone(&answer));
                }
            }
        }
    }
}
