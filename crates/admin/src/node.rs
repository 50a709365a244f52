//! Endpoints about the node itself.

mod about;
mod acme;
mod audit;
mod cache;
mod clustering;
mod config;
mod describe;
mod log_level;
mod openapi;
mod proxy_cache;
mod tags;
mod wasm;

use crate::admin::Admin;
use crate::routes::Routes;

pub(crate) use about::{metrics_body, status_body};
pub use config::config_hash;

/// Adds the endpoints about the node.
pub(crate) fn add(routes: &mut Routes, admin: &Admin) {
    about::add(routes);
    acme::add(routes, admin);
    audit::add(routes);
    cache::add(routes);
    clustering::add(routes);
    config::add(routes);
    describe::add(routes);
    log_level::add(routes, admin);
    openapi::add(routes);
    proxy_cache::add(routes, admin);
    tags::add(routes);
    wasm::add(routes);
}
