//! Upstreams and their balancers.

use std::sync::Arc;

use keelgate_balancer::Balancer;
use keelgate_entities::kinds;
use rustc_hash::FxHashMap;
use uuid::Uuid;

use crate::CompileError;

/// An upstream and its balancer.
#[derive(Debug)]
pub struct UpstreamEntry {
    /// The upstream.
    pub upstream: kinds::Upstream,
    /// Picks its targets; its health state lives on in the next snapshot.
    pub balancer: Arc<Balancer>,
}

/// Upstreams with their targets; health and counts are taken over from `previous` by name.
pub(crate) fn compile(
    upstreams: Vec<kinds::Upstream>,
    targets: &[kinds::Target],
    previous: &[UpstreamEntry],
) -> Result<Vec<UpstreamEntry>, CompileError> {
    let mut of_upstream: FxHashMap<Uuid, Vec<&kinds::Target>> = FxHashMap::default();
    for target in targets {
        of_upstream
            .entry(target.upstream.0)
            .or_default()
            .push(target);
    }
    let known: FxHashMap<&str, &Balancer> = previous
        .iter()
        .map(|entry| (entry.upstream.name.as_str(), &*entry.balancer))
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
                Ok(balancer) => Ok(UpstreamEntry {
                    balancer: Arc::new(balancer),
                    upstream,
                }),
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
