//! `access`: the route's plugins, which may answer in place of the upstream.

use keelgate_plugins::{Access, Flow};
use keelgate_runtime::Chain;

use super::{Answer, Flight, request_body};
use crate::downstream::Upload;

/// Walks the chain. Which configuration of a plugin runs is decided at its turn, when the plugins
/// before it may have found out who the consumer is.
///
/// After a plugin has answered, the others are still chosen: their response phases run. The body
/// is read before the first plugin that needs it, so that who is refused before need not send it.
pub(super) async fn run<'r, U: Upload>(
    flight: &mut Flight<'r>,
    chain: &'r Chain,
    upload: &mut U,
) -> Result<(), Answer> {
    flight.plugins.clear();
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
        if plugin.phases().request_body
            && flight.exchange.request_body.is_none()
            && plugin.wants_request_body(&flight.exchange)
            && let Err(refusal) = request_body::hold(flight, upload).await
        {
            answer = Some(refusal);
            continue;
        }
        let flow = match plugin.access(&mut flight.exchange) {
            Access::Ready(flow) => flow,
            Access::Pending(wait) => wait.await,
        };
        if let Flow::Respond(response) = flow {
            answer = Some(Answer::from_plugin(flight, *response));
        }
    }
    answer.map_or(Ok(()), Err)
}
