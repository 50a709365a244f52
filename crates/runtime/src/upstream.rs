//! Upstreams and their balancers.

use std::sync::Arc;

use arc_swap::ArcSwap;
use keelgate_balancer::{Balancer, Resolution, TargetIndex};
use keelgate_entities::kinds;
use rustc_hash::FxHashMap;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::{CompileError, UpstreamTls};

/// An upstream and its balancer.
#[derive(Debug)]
pub struct UpstreamEntry {
    /// The upstream.
    pub upstream: kinds::Upstream,
    /// How probes of its targets speak TLS.
    pub probe_tls: UpstreamTls,
    balancer: ArcSwap<Balancer>,
    replaced: Notify,
}

impl UpstreamEntry {
    fn new(upstream: kinds::Upstream, balancer: Balancer) -> Self {
        Self {
            upstream,
            probe_tls: UpstreamTls::Clear,
            balancer: ArcSwap::from_pointee(balancer),
            replaced: Notify::new(),
        }
    }

    /// Picks its targets' peers; replaced when their names resolve to something else. Health lives
    /// on in the next one, also in that of the next snapshot.
    pub fn balancer(&self) -> Arc<Balancer> {
        self.balancer.load_full()
    }

    /// Lets new requests use what names resolved to.
    pub fn resolve(&self, answers: &[(TargetIndex, Resolution)]) {
        let resolved = self.balancer.load().resolved(answers);
        self.balancer.store(Arc::new(resolved));
        self.replaced.notify_waiters();
    }

    /// The balancer that took, or takes, the place of `before`.
    pub async fn balancer_after(&self, before: &Arc<Balancer>) -> Arc<Balancer> {
        loop {
            // Created before looking, so that what happens in between wakes it.
            let replaced = self.replaced.notified();
            let now = self.balancer();
            if !Arc::ptr_eq(&now, before) {
                return now;
            }
            replaced.await;
        }
    }
}

/// Upstreams with their targets; health and counts are taken over from `previous` by name.
pub(crate) fn compile(
    upstreams: Vec<kinds::Upstream>,
    targets: &[kinds::Target],
    previous: &[Arc<UpstreamEntry>],
) -> Result<Vec<UpstreamEntry>, CompileError> {
    let mut of_upstream: FxHashMap<Uuid, Vec<&kinds::Target>> = FxHashMap::default();
    for target in targets {
        of_upstream
            .entry(target.upstream.0)
            .or_default()
            .push(target);
    }
    let known: FxHashMap<&str, Arc<Balancer>> = previous
        .iter()
        .map(|entry| (entry.upstream.name.as_str(), entry.balancer()))
        .collect();
    upstreams
        .into_iter()
        .map(|upstream| {
            let targets = of_upstream.remove(&upstream.id).unwrap_or_default();
            let compiled = match known.get(upstream.name.as_str()) {
                Some(previous) => Balancer::compile_from(&upstream, targets, previous),
                None => Balancer::compile(&upstream, targets),
            };
            match compiled {
                Ok(balancer) => Ok(UpstreamEntry::new(upstream, balancer)),
                Err(error) => Err(CompileError {
                    kind: "targets",
                    id: error.target,
                    name: None,
                    what: error.to_string(),
                    mend: "write the target as host:port",
                }),
            }
        })
        .collect()
}
