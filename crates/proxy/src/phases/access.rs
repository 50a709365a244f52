//! `access`: the route's plugins, which may answer in place of the upstream.

use keelgate_plugins::{Access, Flow};
use keelgate_runtime::Chain;

use super::{Answer, Flight, request_body};
use crate::downstream::Upload;

/// Walks the chain. Which configuration of a plugin runs is decided at its turn, when the plugins
/// before it may have found out who the consumer is.
///
/// After a plugin has answered, the others are still chosen: their response phases run.
pub(super) async fn run<'r, U: Upload>(
    flight: &mut Flight<'r>,
    chain: &'r Chain,
    upload: &mut U,
) -> Result<(), Answer> {
    flight.plugins.clear();
    if chain.wants_request_body() {
        request_body::hold(flight, upload).await?;
    }
    let mut answer = None;
    for link in chain.links() {
        let consumer = flight.exchange.consumer.map(|consumer| consumer.id);
        let Some(plugin) = link.resolve(consumer) else {
            continue;
        };
        flight.plugins.push(plugin);
        if answer.is_some() || !plugin.phases().access {
            continue;
        }
        let flow = match plugin.access(&mut flight.exchange) {
            Access::Ready(flow) => flow,
            Access::Pending(wait) => wait.await,
        };
        if let Flow::Respond(response) = flow {
            answer = Some(*response);
        }
    }
    match answer {
        Some(response) => Err(Answer::from_plugin(flight, response)),
        None => Ok(()),
    }
}
