//! The status API: probes and metrics, without a way to change anything.

use std::sync::Arc;

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::json;

use crate::admin::{Admin, Report, State};
use crate::failure::Failure;
use crate::routes::Routes;
use crate::{entity, front, node, respond};

/// What the status API tells.
#[derive(Clone)]
pub struct Status {
    /// What the Admin API of this node works on; the status API reads from it.
    pub admin: Admin,
    /// Whether the node should get traffic: a configuration is active and the node is not
    /// stopping. `Err` says why not.
    pub ready: Report<Result<(), String>>,
    /// Whether upstreams and the health of their targets are told: on nodes without a database,
    /// which have no Admin API or one that is seldom open.
    pub upstreams: bool,
}

impl Status {
    /// The router of the status API.
    pub fn router(self) -> Router {
        let state = Arc::new(self);
        let status = {
            let state = Arc::clone(&state);
            get(async move || respond::ok(&node::status_body(&state.admin).await))
        };
        let ready = {
            let state = Arc::clone(&state);
            get(async move || match (state.ready)() {
                Ok(()) => respond::ok(&json!({ "message": "ready" })),
                Err(reason) => {
                    Failure::message(StatusCode::SERVICE_UNAVAILABLE, reason).into_response()
                }
            })
        };
        let metrics = {
            let state = Arc::clone(&state);
            get(async move || {
                let text = node::metrics_body(&state.admin).await;
                ([(CONTENT_TYPE, "text/plain; charset=UTF-8")], text)
            })
        };
        let mut upstreams = Routes::default();
        if state.upstreams {
            entity::add_status(&mut upstreams);
        }
        let paths = upstreams.describe();
        let routes = upstreams
            .into_router(Arc::new(State {
                admin: state.admin.clone(),
                paths,
            }))
            .route("/status", status)
            .route("/status/ready", ready)
            .route("/metrics", metrics);
        front::behind(routes, state.admin.node.allowed_origins.clone().into())
    }
}
