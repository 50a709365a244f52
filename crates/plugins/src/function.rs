//! What the plugins share that let a function of a cloud answer in place of an upstream.
//!
//! | module | its one reason |
//! |---|---|
//! | `client` | HTTP towards functions |
//! | `answer` | from what a function says to a response |

use std::time::Instant;

use crate::{Exchange, Flow, Response};

pub(crate) mod answer;
pub(crate) mod client;

/// Ends a request with what a plugin's function, called at `began`, has said, or with why it said
/// nothing: the log is told that, the client is not.
pub(crate) fn end(
    exchange: &mut Exchange<'_>,
    plugin: &str,
    began: Instant,
    called: Result<Response, String>,
) -> Flow {
    exchange.times.upstream = Some(began.elapsed());
    let response = called.unwrap_or_else(|problem| {
        tracing::error!("{plugin}: the function gives no response: {problem}");
        Response::unexpected()
    });
    Flow::Respond(Box::new(response))
}
