//! How `request-termination` answers.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use keelgate_entities::kinds;

use super::config::Config;
use super::echo::{self, Place};
use crate::error::Reason;
use crate::registry::Node;
use crate::response::Body;
use crate::{Access, Directory, Exchange, Flow, Phases, Plugin, Response, arguments, setting};

/// A compiled `request-termination`.
pub(crate) struct RequestTermination {
    answer: Answer,
    trigger: Option<Trigger>,
}

enum Answer {
    /// Always the same.
    Fixed(Response),
    /// What was received, with this status and message.
    Echo {
        status: StatusCode,
        message: Option<String>,
        place: Place,
    },
}

struct Trigger {
    header: HeaderName,
    argument: String,
}

/// Compiles a configuration.
pub(crate) fn compile(
    node: &Node,
    plugin: &kinds::Plugin,
    _directory: &Arc<Directory>,
) -> Result<Arc<dyn Plugin>, Reason> {
    let config: Config = setting::decode(&plugin.config)?;
    let status = setting::status("status_code", config.status_code)?;
    let trigger = config.trigger.map(Trigger::new).transpose()?;
    let message = config
        .message
        .or_else(|| default_message(status).map(str::to_owned));
    let answer = if config.echo {
        Answer::Echo {
            status,
            message,
            place: Place::of(node),
        }
    } else {
        Answer::Fixed(answer(status, message, config.body, config.content_type)?)
    };
    Ok(Arc::new(RequestTermination { answer, trigger }))
}

fn answer(
    status: StatusCode,
    message: Option<String>,
    body: Option<String>,
    content_type: Option<String>,
) -> Result<Response, Reason> {
    let Some(body) = body else {
        return Ok(match message {
            Some(message) => Response::new(status, Body::Message(message, false)),
            None if has_error_page(status) => Response::new(status, Body::ErrorPage),
            None => Response::empty(status),
        });
    };
    let mut response = Response::new(status, Body::Bytes(Bytes::from(body)));
    if let Some(content_type) = content_type {
        let value = setting::header_value("content_type", &content_type)?;
        response.headers.insert(CONTENT_TYPE, value);
    }
    Ok(response)
}

/// The message of a status for which none is set.
fn default_message(status: StatusCode) -> Option<&'static str> {
    Some(match status.as_u16() {
        401 => "Unauthorized",
        404 => "Not found",
        405 => "Method not allowed",
        500 => "An unexpected error occurred",
        502 => "Bad Gateway",
        503 => "Service unavailable",
        _ => return None,
    })
}

/// Whether an answer of this status without a body gets the gateway's own page.
fn has_error_page(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        400 | 408 | 411 | 412 | 413 | 414 | 417 | 494 | 504
    )
}

impl Trigger {
    fn new(name: String) -> Result<Self, Reason> {
        Ok(Self {
            header: setting::header_name("trigger", &name)?,
            argument: name,
        })
    }

    fn is_in(&self, exchange: &Exchange<'_>) -> bool {
        exchange.headers.contains_key(&self.header)
            || exchange.query.as_ref().is_some_and(|query| {
                arguments::find(query.as_bytes(), self.argument.as_bytes())
                    .next()
                    .is_some()
            })
    }
}

impl Plugin for RequestTermination {
    fn phases(&self) -> Phases {
        Phases {
            access: true,
            request_body: matches!(self.answer, Answer::Echo { .. }),
            ..Phases::default()
        }
    }

    fn access<'a, 'r: 'a>(&'r self, exchange: &'a mut Exchange<'r>) -> Access<'a> {
        if let Some(trigger) = &self.trigger
            && !trigger.is_in(exchange)
        {
            return Access::Ready(Flow::Continue);
        }
        let response = match &self.answer {
            Answer::Fixed(response) => response.clone(),
            Answer::Echo {
                status,
                message,
                place,
            } => {
                let echo = echo::echo(exchange, message.as_deref(), place);
                let mut response = Response::new(*status, Body::Bytes(echo));
                let json = HeaderValue::from_static("application/json; charset=utf-8");
                response.headers.insert(CONTENT_TYPE, json);
                response
            }
        };
        Access::Ready(Flow::Respond(Box::new(response)))
    }
}
